/** The test's side of driver.ts. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type RuntimeName, runtimeCommand } from '../../control/cli/runtimes.mjs';
import { MultiStreamClient } from '../../edge-proxy/http/testing/multi-stream-client.ts';
import { ROOT } from '../harness.ts';

export interface State {
  /** Resident bytes. */
  readonly rss: number;
  readonly connections: number;
  readonly requests: number;
  /** Since the last line. */
  readonly finished: readonly { path: string; responseCode: number; flags: string[]; details: string }[];
}

export class SeamProxy {
  private readonly child: ChildProcess;
  private readonly waiting: ((line: string) => void)[] = [];
  private readonly lines: string[] = [];
  errors = '';
  ports = { http1: 0, multi: 0 };

  constructor(runtime: RuntimeName, ports: readonly number[]) {
    const [command, ...args] = runtimeCommand(runtime, join(ROOT, 'tests/seams/driver.ts'));
    this.child = spawn(command!, [...args, ...ports.map(String)], { stdio: ['pipe', 'pipe', 'pipe'] });
    createInterface({ input: this.child.stdout! }).on('line', (line) => {
      const next = this.waiting.shift();
      if (next) next(line);
      else this.lines.push(line);
    });
    this.child.stderr!.on('data', (bytes) => (this.errors += bytes));
  }

  async ready(): Promise<void> {
    this.ports = JSON.parse(await this.line()) as typeof this.ports;
  }

  async state(command = ''): Promise<State> {
    this.child.stdin!.write(`${command}\n`);
    return JSON.parse(await this.line()) as State;
  }

  private line(): Promise<string> {
    const there = this.lines.shift();
    if (there !== undefined) return Promise.resolve(there);
    return new Promise((resolve, reject) => {
      const gone = () => reject(new Error(`the proxy ended: ${this.errors}`));
      this.child.once('close', gone);
      this.waiting.push((line) => {
        this.child.off('close', gone);
        resolve(line);
      });
    });
  }

  end(): void {
    this.child.kill('SIGKILL');
  }
}

/** A connection that carries several streams. */
export async function multiStreams(port: number): Promise<{ client: MultiStreamClient; socket: net.Socket }> {
  const socket = net.connect(port, '127.0.0.1');
  await once(socket, 'connect');
  const client = new MultiStreamClient((bytes) => void socket.write(bytes));
  socket.on('data', (bytes) => client.onBytes(bytes));
  socket.on('error', () => {});
  socket.on('close', () => client.onClose());
  return { client, socket };
}
