<?php
// A front controller that finds the path elsewhere: in headers, where IIS tells the URL before its own rewriting and anywhere else
// a caller does, and in a query that begins with a slash, for servers that can't hand over what follows a script.
$url = $_SERVER['HTTP_X_ORIGINAL_URL'] ?? $_SERVER['HTTP_X_REWRITE_URL'] ?? $_SERVER['REQUEST_URI'];
$path = parse_url($url, PHP_URL_PATH);
if (!is_string($path)) {
    http_response_code(404);
    return;
}
$path = preg_replace('~^/index\.php(?=/|$)~', '', rawurldecode($path)) ?: '/';
$query = explode('?', $url, 3)[1] ?? '';
if ($path === '/' && str_starts_with($query, '/')) {
    $path = rawurldecode($query);
}
header('Content-Type: text/plain');
echo $path;
