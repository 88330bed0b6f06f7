// Node servers that read a path with the URL class, in the ways that are found in tutorials: a socket each.
"use strict";
const http = require("node:http");

const BASE = "http://node.test";

const sites = {
  "node-url": (target) => decodeURIComponent(new URL(target, BASE).pathname),
  "node-decoded": (target) => new URL(decodeURIComponent(target), BASE).pathname,
  "node-parse": (target) => decodeURIComponent(require("node:url").parse(target).pathname),
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
