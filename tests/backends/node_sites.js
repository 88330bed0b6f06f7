// Node servers that read a path as a URL, with the class and with the function that it replaces: a socket each.
"use strict";
const http = require("node:http");
const url = require("node:url");

const BASE = "http://node.test";

const sites = {
  "node-url": (target) => decodeURIComponent(new URL(target, BASE).pathname),
  "node-decoded": (target) => decodeURIComponent(new URL(decodeURIComponent(target), BASE).pathname),
  "node-parse": (target) => decodeURIComponent(url.parse(decodeURIComponent(target)).pathname),
};

for (const [name, resource] of Object.entries(sites)) {
  const server = http.createServer((request, response) => {
    try {
      response.end(resource(request.url));
    } catch {
      response.statusCode = 400;
      response.end();
    }
  });
  server.keepAliveTimeout = 300_000;
  server.listen(`${name}.sock`);
}
