/** A control plane process on a data folder and port that outlive it, so that it can be killed and started again. */
import { join } from 'node:path';
import { openAuthority } from '../../control/ca/authority.ts';
import { ControlApi } from '../../control/cli/connection.ts';
import { runtimeCommand } from '../../control/cli/runtimes.mjs';
import { createCsr } from '../../shared/identity/csr.ts';
import { exportPrivateKey, generateKeys } from '../../shared/identity/keys.ts';
import { ROOT } from '../kit/environment.ts';
import { Program } from '../kit/process.ts';

export class RestartableControl {
  readonly url: string;
  private readonly data: string;
  private readonly port: number;
  private program: Program | undefined;
  private token = '';
  /** PEM roots. */
  ca = '';
  /** Of all processes so far. */
  readonly lines: string[] = [];

  constructor(data: string, port: number) {
    this.data = data;
    this.port = port;
    this.url = `https://127.0.0.1:${port}`;
  }

  /** Resolves when the process is ready, or when it was killed before. */
  async start(...flags: readonly string[]): Promise<void> {
    const command = runtimeCommand('node', join(ROOT, 'control/cli/main.ts'));
    const program = new Program('control', [
      ...command,
      ...[
        'control',
        '--data',
        this.data,
        '--port',
        String(this.port),
        '--announce',
        '--monitoring-port',
        '0',
        ...flags,
      ],
    ]);
    this.program = program;
    program.onLine((line) => void this.lines.push(line));
    const announced = program.announcement<Record<string, string>>();
    const killed = program.exited.then(() => undefined);
    const said = await Promise.race([announced.catch(() => undefined), killed]);
    if (!said) return this.mustBeKilled(program);
    this.ca = said['trustBundle']!;
    // It is announced at the first start alone.
    this.token = said['adminToken'] ?? this.token;
  }

  private async mustBeKilled(program: Program): Promise<void> {
    const code = await program.exited;
    if (code !== null) throw new Error(`control ended with ${code}:\n${program.lines.slice(-5).join('\n')}`);
  }

  /** As when the machine loses its power. */
  async kill(): Promise<void> {
    this.program?.process.kill('SIGKILL');
    await this.program?.exited;
  }

  get api(): ControlApi {
    return new ControlApi(this.url, this.token, this.ca);
  }

  /** What a workload presents, signed by this control plane's CA. */
  async identity(namespace: string, serviceAccount: string) {
    const trustDomain = 'cluster.local';
    const authority = await openAuthority({ folder: join(this.data, 'ca'), trustDomain });
    const keys = await generateKeys();
    const spiffeId = `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
    const { certificateChain } = await authority.issue(await createCsr(keys, spiffeId), spiffeId);
    return { certificateChain, privateKey: await exportPrivateKey(keys.privateKey) };
  }
}
