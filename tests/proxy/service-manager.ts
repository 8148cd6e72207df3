/** A service manager for tests: receives what sd_notify(3) sends, as systemd does of a unit of type notify. */
import { join } from 'node:path';
import { temporaryFolder } from '../kit/environment.ts';
import { Program, works } from '../kit/process.ts';

/** No runtime receives datagrams at UNIX sockets. It sees which process a message names as the main one. */
const RECEIVER = `
import os, socket, sys
path = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(path)
os.chmod(path, 0o777)
print('listens', flush=True)
while True:
  message = s.recv(4096).decode()
  print(message.replace('\\n', ' '), flush=True)
`;

/** Whether it can be had; else the reason is printed. */
export const SERVICE_MANAGER: boolean = works('systemd-notify') && works('python3');
if (!SERVICE_MANAGER) console.warn('skipped: no service manager for tests (it needs systemd-notify and python3)');

export class ServiceManager {
  private readonly folder = temporaryFolder();
  private readonly path = join(this.folder.path, 'notify');
  private readonly program = new Program('service manager', ['python3', '-c', RECEIVER, this.path]);

  async start(): Promise<void> {
    await this.program.line((line) => (line === 'listens' ? line : undefined));
  }

  /** Starts `command` as the main process of a unit. */
  readonly run = (command: readonly string[]): string[] => ['env', `NOTIFY_SOCKET=${this.path}`, ...command];

  /** The processes that said that they are ready and the main one, in this order. */
  get mainPids(): number[] {
    return this.program.lines.flatMap((line) => {
      const [, pid] = /^READY=1 .*MAINPID=(\d+)|^MAINPID=(\d+) .*READY=1/.exec(line) ?? [];
      return pid === undefined ? [] : [Number(pid)];
    });
  }

  async stop(): Promise<void> {
    await this.program.stop('SIGKILL');
    this.folder.dispose();
  }
}
