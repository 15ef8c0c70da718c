// All tests of the pages in a real Chromium, each file against an engine of its own that has nothing yet.
//
//   node tests/browser/run.mjs target/debug/fanfare [--shots FOLDER]
//
// In: the program to test. Out: what the tests say, and a last line as cargo's: `test result: ok. 34 passed; 0 failed; …`. Promise:
// whatever happens the engines end with it, and each wait has a limit. Ends with 0 if all is well.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const FILES = ["inbox", "preferences", "console"];
/** As in fanfare.toml. */
const BASE = "http://127.0.0.1:18390";
const START_MS = 60_000;
const STOP_MS = 30_000;
/** The longest that the tests of one file may take. */
const FILE_MS = 600_000;

const folder = dirname(fileURLToPath(import.meta.url));
const [program, ...options] = process.argv.slice(2);
if (!program) throw new Error("say what to test: node tests/browser/run.mjs target/debug/fanfare");

const ended = (child) => new Promise((done) => child.once("exit", (code, signal) => done(code ?? signal)));

function within(milliseconds, what, work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${milliseconds / 1000} s`)), milliseconds);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

async function isReady() {
  const answer = await fetch(`${BASE}/readyz`).catch(() => undefined);
  return answer?.ok ?? false;
}

/** Runs the work while an engine is there, and sees that it ends in order. */
async function withEngine(work) {
  if (await isReady()) throw new Error(`somebody else listens at ${BASE}`);
  const data = mkdtempSync(join(tmpdir(), "fanfare-pages-"));
  const stdio = ["ignore", "ignore", "inherit"];
  const engine = spawn(program, ["serve", "--config", join(folder, "fanfare.toml"), "--data-dir", data], { stdio });
  const end = ended(engine);
  try {
    const started = async () => {
      while (engine.exitCode === null && !(await isReady())) await new Promise((done) => setTimeout(done, 100));
      if (engine.exitCode !== null) throw new Error(`the engine ended with ${engine.exitCode} at its start`);
    };
    await within(START_MS, "the engine's start", started());
    await work();
    engine.kill("SIGTERM");
    const code = await within(STOP_MS, "the engine's end", end);
    if (code !== 0) throw new Error(`the engine ended with ${code}`);
  } finally {
    engine.kill("SIGKILL");
    await end;
    rmSync(data, { recursive: true, force: true });
  }
}

/** Runs the tests of one file; how many passed and failed. */
async function run(file) {
  const tests = spawn(process.execPath, [join(folder, `${file}.mjs`), BASE, ...options], { stdio: ["ignore", "pipe", "inherit"] });
  const count = { passed: 0, failed: 0 };
  const lines = createInterface({ input: tests.stdout }).on("line", (line) => {
    const [, word, name] = /^(ok|FAILED):? +(.*)/.exec(line) ?? [];
    if (!word) return console.log(line);
    count[word === "ok" ? "passed" : "failed"] += 1;
    console.log(`test browser::${file}: ${name} ... ${word}`);
  });
  const read = new Promise((done) => lines.once("close", done));
  try {
    const code = await within(FILE_MS, file, ended(tests));
    await read;
    // It may also end in the middle.
    if (code !== 0 && count.failed === 0) throw new Error(`${file}.mjs ended with ${code}`);
  } finally {
    tests.kill("SIGKILL");
  }
  return count;
}

const sum = { passed: 0, failed: 0 };
for (const file of FILES) {
  try {
    await withEngine(async () => {
      const { passed, failed } = await run(file);
      sum.passed += passed;
      sum.failed += failed;
    });
  } catch (error) {
    sum.failed += 1;
    console.log(`test browser::${file} ... FAILED\n${error.stack}`);
  }
}
const word = sum.failed === 0 ? "ok" : "FAILED";
console.log(`\ntest result: ${word}. ${sum.passed} passed; ${sum.failed} failed; 0 ignored; 0 measured; 0 filtered out`);
process.exitCode = sum.failed === 0 ? 0 : 1;
