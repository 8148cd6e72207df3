/** A proxy started from a file as a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import type net from 'node:net';
import { proxyCommand, type RuntimeName } from '../../control/cli/runtimes.mjs';
import { until } from '../harness.ts';

/** A proxy process and what it has said. */
export class ProxyProcess {
  readonly child: ChildProcess;
  output = '';
  ports: Record<string, number> = {};
  adminPort = 0;

  /** @param flags besides `-c FILE --announce` */
  constructor(runtime: RuntimeName, file: string, config: object, flags: readonly string[] = []) {
    writeFileSync(file, JSON.stringify(config));
    const [command, ...args] = proxyCommand(runtime);
    this.child = spawn(command!, [...args, '-c', file, '--announce', ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout!, this.child.stderr!]) stream.on('data', (bytes) => (this.output += bytes));
  }

  async ready(): Promise<void> {
    const line = await until('the proxy announces itself', () => {
      if (this.child.exitCode !== null) throw new Error(this.output);
      return /^\{"ready".*$/m.exec(this.output)?.[0];
    });
    Object.assign(this, JSON.parse(line) as object);
  }

  /** What the admin endpoints answer. */
  async admin(path: string, method = 'GET'): Promise<{ status: number; body: string }> {
    const answer = await fetch(`http://127.0.0.1:${this.adminPort}${path}`, { method });
    return { status: answer.status, body: await answer.text() };
  }

  async end(): Promise<number | null> {
    if (this.child.exitCode === null) await new Promise((resolve) => this.child.once('close', resolve));
    return this.child.exitCode;
  }

  /** The access log lines of one listener's stat prefix or cluster. */
  logged(cluster: string): Record<string, unknown>[] {
    return this.output
      .split('\n')
      .filter((line) => line.startsWith('{"log"'))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter((line) => line['cluster'] === cluster);
  }
}

/** The port a server got on loopback. */
export const listening = (server: net.Server): Promise<number> =>
  new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as net.AddressInfo).port)));
