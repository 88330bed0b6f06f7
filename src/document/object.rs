//! Objects of the document, each declared once: from its members come the type, how it is read, and its
//! [schema](super::schema).
//!
//! ```text
//! object! {
//!     /// Peers that need no key, by address.
//!     pub struct TrustedNetworks {
//!         /// The addresses.
//!         pub ranges: Vec<Range> = list,
//!     }
//! }
//!
//! impl Read for TrustedNetworks {
//!     const EXPECTED: &'static str = "an object: {ranges}";
//!     read_members!();
//! }
//! ```

/// Declares an object and its members: each is `required`, `optional` (an `Option`), has a default,
/// or is a `list` (of nothing, by default).
macro_rules! object {
    (
        $(#[$attribute:meta])*
        $visible:vis struct $name:ident {
            $($(#[doc = $remark:literal])* $(#[serde($($serde:tt)*)])? $shown:vis $field:ident: $type:ty = $how:ident $(($default:expr))?),+ $(,)?
        }
    ) => {
        $(#[$attribute])*
        $visible struct $name {
            $($(#[doc = $remark])* $(#[serde($($serde)*)])? $shown $field: $type),+
        }

        impl $name {
            fn members(
                reader: &mut $crate::document::read::Reader<'_>,
            ) -> Result<Self, $crate::document::read::Refused> {
                const KNOWN: &[&str] = &[$(stringify!($field)),+];
                $(let mut $field = None;)+
                while let Some(name) = reader.name(KNOWN)? {
                    match name {
                        $(stringify!($field) => reader.member(name, &mut $field)?,)+
                        _ => {}
                    }
                }
                Ok(Self { $($field: object!(@read reader $field $how $(($default))?)),+ })
            }

            fn members_schema() -> serde_json::Value {
                use $crate::document::schema::{Member, object};
                object([$(
                    (stringify!($field), concat!($($remark),*), object!(@schema $type, $how $(($default))?))
                ),+])
            }
        }
    };
    (@read $reader:ident $field:ident required) => {
        match $field {
            Some(value) => value,
            None => {
                return Err($reader.refuse($crate::document::refusal::Problem::MissingField { name: stringify!($field) }));
            }
        }
    };
    (@read $reader:ident $field:ident optional) => { $field };
    (@read $reader:ident $field:ident or ($default:expr)) => { $field.unwrap_or_else(|| $default) };
    (@read $reader:ident $field:ident list) => { $field.unwrap_or_default() };
    (@schema $type:ty, required) => { Member::required::<$type>() };
    (@schema $type:ty, optional) => { Member::optional(core::marker::PhantomData::<$type>) };
    (@schema $type:ty, list) => { Member::list::<$type>() };
    (@schema $type:ty, or ($default:expr)) => { Member::or::<$type>(&$default) };
}
pub(crate) use object;

/// Makes what `object!` declares a [`Read`] of nothing but the object.
macro_rules! read_members {
    () => {
        fn schema() -> serde_json::Value {
            Self::members_schema()
        }

        fn read(
            reader: &mut $crate::document::read::Reader<'_>,
            value: $crate::document::read::Token,
        ) -> Result<Self, $crate::document::read::Refused> {
            reader.begin_object(value, Self::EXPECTED)?;
            Self::members(reader)
        }
    };
}
pub(crate) use read_members;
