#!/usr/bin/env node
// The `tulle` command. Node 20 may start it; the program itself runs on a Node that reads TypeScript. No second process
// stays behind: this one continues with the program, or is replaced, where this Node can do that (process.execve).
import { spawn } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { nodeBinary, program } from './runtimes.mjs';

const NO_WARNING = '--disable-warning=ExperimentalWarning';

const args = process.argv.slice(2);
const script = args[0] === '--script' ? args.splice(0, 2)[1] : program('./main');

try {
  const node = nodeBinary();
  if (node === process.execPath) await runHere();
  else if (process.execve) {
    silenceExperimentalWarnings();
    process.execve(node, [node, NO_WARNING, script, ...args], process.env);
  } else runBelow(node);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
}

async function runHere() {
  silenceExperimentalWarnings();
  process.argv = [process.argv[0], script, ...args];
  await import(pathToFileURL(script).href);
}

function silenceExperimentalWarnings() {
  const printers = process.listeners('warning');
  process.removeAllListeners('warning');
  process.on('warning', (warning) => {
    if (warning.name !== 'ExperimentalWarning') for (const print of printers) print.call(process, warning);
  });
}

function runBelow(node) {
  const child = spawn(node, [NO_WARNING, script, ...args], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`tulle: cannot start ${node}: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    if (signal) process.exit(128 + ({ SIGINT: 2, SIGTERM: 15, SIGKILL: 9, SIGHUP: 1 }[signal] ?? 1));
    process.exit(code ?? 1);
  });
}
