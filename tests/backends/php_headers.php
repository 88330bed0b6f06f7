<?php
// A front controller for IIS, which tells the URL before its own rewriting in a header; elsewhere the header is the caller's.
$url = $_SERVER['HTTP_X_ORIGINAL_URL'] ?? $_SERVER['HTTP_X_REWRITE_URL'] ?? $_SERVER['REQUEST_URI'];
$path = parse_url($url, PHP_URL_PATH);
if (!is_string($path)) {
    http_response_code(404);
    return;
}
header('Content-Type: text/plain');
echo preg_replace('~^/index\.php(?=/|$)~', '', rawurldecode($path)) ?: '/';
