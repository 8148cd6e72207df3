#!/usr/bin/env node
// The `tulle` command. Node 20 may start it; the program itself runs on a Node that reads TypeScript.
import { spawn } from 'node:child_process';
import { nodeBinary, program } from './runtimes.mjs';

const args = process.argv.slice(2);
const script = args[0] === '--script' ? args.splice(0, 2)[1] : program('./main');

let child;
try {
  child = spawn(nodeBinary(), ['--disable-warning=ExperimentalWarning', script, ...args], { stdio: 'inherit' });
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('error', (error) => {
  process.stderr.write(`tulle: cannot start ${nodeBinary()}: ${error.message}\n`);
  process.exit(1);
});
child.on('exit', (code, signal) => {
  if (signal) process.exit(128 + ({ SIGINT: 2, SIGTERM: 15, SIGKILL: 9, SIGHUP: 1 }[signal] ?? 1));
  process.exit(code ?? 1);
});
