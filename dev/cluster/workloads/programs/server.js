// A web server on Node.js, with what one has at work: libuv's loop and its pool of threads, a worker thread, a timer and
// a child process behind pipes. `GET /` answers its token, which request this is, and whether all of that still works;
// `uring` is how many io_urings libuv has made, which CRIU cannot freeze.
"use strict";
const { randomBytes } = require("node:crypto");
const { once } = require("node:events");
const { readdir, readFile, readlink } = require("node:fs/promises");
const http = require("node:http");
const { spawn } = require("node:child_process");
const { setTimeout: pause } = require("node:timers/promises");
const { Worker } = require("node:worker_threads");

const token = randomBytes(16).toString("hex");
const heap = new Map(Array.from({ length: 100_000 }, (_, key) => [key, token + key]));
const worker = new Worker("require('node:worker_threads').parentPort.on('message', function (text) { this.postMessage(text.toUpperCase()); })", { eval: true });
const child = spawn("/bin/cat", { stdio: ["pipe", "pipe", "inherit"] });
let requests = 0;
let ticks = 0;
setInterval(() => { ticks += 1; }, 5);

async function timerMoves() {
  const before = ticks;
  for (let tries = 0; ticks === before && tries < 500; tries += 1) await pause(10);
  return ticks > before;
}

async function workerAnswers() {
  const answer = once(worker, "message");
  worker.postMessage(token);
  return (await answer)[0] === token.toUpperCase();
}

async function childAnswers() {
  const answer = once(child.stdout, "data");
  child.stdin.write(token);
  return String((await answer)[0]) === token;
}

async function urings() {
  const links = await Promise.all((await readdir("/proc/self/fd")).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")));
  return links.filter((link) => link.includes("io_uring")).length;
}

async function answer() {
  requests += 1;
  const count = requests;
  const checks = {
    heap: heap.size === 100_000 && [...heap].every(([key, value]) => value === token + key),
    files: (await readFile("/etc/passwd", "utf8")).startsWith("root:"),
    timer: await timerMoves(),
    worker: await workerAnswers(),
    child: await childAnswers(),
  };
  return { token, count, holds: Object.values(checks).every(Boolean), checks, uring: await urings() };
}

// One at a time, so that no answer of the worker or the child is taken for another's.
let turn = Promise.resolve();
http.createServer((_, response) => {
  turn = turn.then(answer).then(
    (body) => response.end(JSON.stringify(body)),
    (error) => response.writeHead(500).end(String(error)),
  );
}).listen(8080, () => console.log("listening"));
