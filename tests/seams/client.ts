import { once } from 'node:events';
import net from 'node:net';
import { join } from 'node:path';
import { type RuntimeName, runtimeCommand } from '../../control/cli/runtimes.mjs';
import { MultiStreamClient } from '../../edge-proxy/http/testing/multi-stream-client.ts';
import { ROOT } from '../kit/environment.ts';
import { DrivenProgram } from '../kit/process.ts';

export interface State {
  /** Resident bytes. */
  readonly rss: number;
  readonly connections: number;
  readonly requests: number;
  /** Since the last line. */
  readonly finished: readonly { path: string; responseCode: number; flags: string[]; details: string }[];
}

/** The test's side of driver.ts. */
export class SeamProxy extends DrivenProgram {
  ports = { http1: 0, multi: 0 };

  /** @param upstreams ports of the application and of the checking service */
  constructor(runtime: RuntimeName, upstreams: readonly number[]) {
    const command = runtimeCommand(runtime, join(ROOT, 'tests/seams/driver.ts'));
    super(`seam proxy (${runtime})`, [...command, ...upstreams.map(String)]);
  }

  async ready(): Promise<void> {
    this.ports = JSON.parse(await this.next()) as typeof this.ports;
  }

  async state(command = ''): Promise<State> {
    return JSON.parse(await this.ask(command)) as State;
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
