// `npm run check`: types, lint and unit tests. All three at once: the compiler uses one core, the tests as many as there are. The
// output of each comes when it has ended.
import { spawn } from 'node:child_process';

const CHECKS = {
  types: ['run', '-s', 'typecheck'],
  lint: ['run', '-s', 'lint'],
  'unit tests': ['test', '--', '--project', 'unit'],
};

/** Resolves to whether the check passed. */
function run(name, words) {
  return new Promise((done) => {
    const output = [];
    const began = performance.now();
    const check = spawn('npm', words, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [check.stdout, check.stderr]) stream.on('data', (bytes) => output.push(bytes));
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => check.kill(signal));
    check.on('error', (error) => output.push(Buffer.from(`${error.message}\n`)));
    check.on('close', (code) => {
      process.stdout.write(Buffer.concat(output));
      const seconds = Math.round((performance.now() - began) / 1000);
      console.log(`${name}: ${code === 0 ? 'passed' : 'failed'} after ${seconds} s`);
      done(code === 0);
    });
  });
}

const passed = await Promise.all(Object.entries(CHECKS).map(([name, words]) => run(name, words)));
process.exitCode = passed.every(Boolean) ? 0 : 1;
