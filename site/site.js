// A picture for a dark page follows the theme of the site, which may differ from that of the system.
"use strict";

(() => {
    const dark = [...document.querySelectorAll("picture > source[media*='dark']")];
    const follow = () => {
        const isDark = getComputedStyle(document.documentElement).colorScheme === "dark";
        for (const source of dark) source.media = isDark ? "all" : "not all";
    };
    new MutationObserver(follow).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
    follow();
})();
