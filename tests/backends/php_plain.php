<?php
// A front controller that takes the path from PATH_INFO, where PHP's own server puts what follows the script.
header('Content-Type: text/plain');
echo $_SERVER['PATH_INFO'] ?? '/';
