/**
 * Measures, inside the process that it is loaded into (`node --import`), the most CPU time that its main thread used between two
 * turns of the event loop: for so long nothing else was answered, however busy the machine is with other processes.
 * SIGUSR2 writes the figure in milliseconds as a line to standard error, `turn 12.3 at 4567`, and begins again; the second number
 * is when that turn ended, in milliseconds of the monotonic clock.
 */
import process from 'node:process';

const cpuMs = (): number => {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
};

let before = cpuMs();
let worst = 0;
let at = 0;

setInterval(() => {
  const now = cpuMs();
  if (now - before > worst) {
    worst = now - before;
    at = Number(process.hrtime.bigint() / 1_000_000n);
  }
  before = now;
}, 1).unref();

process.on('SIGUSR2', () => {
  process.stderr.write(`turn ${worst.toFixed(1)} at ${at}\n`);
  worst = 0;
});
