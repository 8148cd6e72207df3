/**
 * Tells the service manager that this process is ready (sd_notify(3)): units ordered after it start then. No runtime sends
 * datagrams to UNIX sockets, so systemd's own helper does.
 */
import { spawn } from 'node:child_process';
import process from 'node:process';

const VARIABLE = 'NOTIFY_SOCKET';
const socket = process.env[VARIABLE];
// Not for workers, nor for the application.
delete process.env[VARIABLE];

/** Does nothing where no service manager waits. @param report one line where that fails */
export function notifyReady(report: (line: string) => void): void {
  if (!socket) return;
  const failed = (reason: string) =>
    report(`${VARIABLE}: readiness cannot be reported to the service manager: ${reason}`);
  try {
    const child = spawn('systemd-notify', ['--ready'], {
      env: { ...process.env, [VARIABLE]: socket },
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    child.once('error', (error) => failed(error.message));
    child.once('exit', (code) => code !== 0 && failed(`systemd-notify ended with ${code}`));
  } catch (error) {
    // Where others emit the error, Bun throws it.
    failed((error as Error).message);
  }
}
