<?php
// A front controller with what Symfony, Laravel and others are made of.
require 'Symfony/Component/HttpFoundation/autoload.php';

header('Content-Type: text/plain');
echo rawurldecode(Symfony\Component\HttpFoundation\Request::createFromGlobals()->getPathInfo());
