<?php
// The front controller of a part of the site: PHP's own server asks it for all that is not there as a file.
header('Content-Type: text/plain');
echo '/pub' . ($_SERVER['PATH_INFO'] ?? '/');
