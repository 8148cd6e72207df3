/** Control planes as processes on one etcd, each with a data folder of its own. */
import { globalAgent } from 'node:https';
import { join } from 'node:path';
import { ControlApi } from '../../control/cli/connection.ts';
import { type RuntimeName, runtimeCommand } from '../../control/cli/runtimes.mjs';
import { createCsr } from '../../shared/identity/csr.ts';
import { exportPrivateKey, generateKeys } from '../../shared/identity/keys.ts';
import { ROOT } from '../kit/environment.ts';
import type { EtcdCluster } from '../kit/etcd.ts';
import { Program } from '../kit/process.ts';

// A control plane on Deno closes connections that a client keeps, without saying so before.
globalAgent.maxFreeSockets = 0;

interface Announced {
  readonly url: string;
  readonly trustBundle: string;
  readonly adminToken?: string;
}

export interface ReplicaOptions {
  readonly cluster: EtcdCluster;
  readonly prefix: string;
  readonly data: string;
  /** Default: chosen by the kernel. */
  readonly port?: number;
  readonly runtime?: RuntimeName;
  readonly flags?: readonly string[];
  /** When another process was the first. */
  readonly adminToken?: string;
}

export class Replica {
  readonly program: Program;
  readonly url: string;
  /** PEM roots, as they were at its start. */
  readonly ca: string;
  readonly adminToken: string;

  private constructor(program: Program, { url, trustBundle }: Announced, adminToken: string) {
    this.program = program;
    this.url = url;
    this.ca = trustBundle;
    this.adminToken = adminToken;
  }

  static async start(options: ReplicaOptions): Promise<Replica> {
    const program = new Program(`control ${options.data}`, replicaCommand(options));
    const announced = await program.announcement<Announced>();
    return new Replica(program, announced, announced.adminToken ?? options.adminToken ?? '');
  }

  /** As the administrator, or by another token. */
  api(token: string | undefined = this.adminToken, ca = this.ca): ControlApi {
    return new ControlApi(this.url, token, ca);
  }

  async kill(): Promise<void> {
    this.program.process.kill('SIGKILL');
    await this.program.exited;
  }
}

export function replicaCommand({ cluster, prefix, data, port = 0, runtime = 'node', flags = [] }: ReplicaOptions) {
  const hosts = cluster.endpoints.map((url) => url.slice('http://'.length)).join(',');
  return [
    ...runtimeCommand(runtime, join(ROOT, 'control/cli/main.ts')),
    ...['control', '--port', String(port), '--announce', '--store', `etcd://${hosts}/${prefix}`, '--data', data],
    ...flags,
  ] as [string, ...string[]];
}

/** A key of a workload, and what it asks for a certificate with. */
export async function newWorkload(namespace: string, serviceAccount: string) {
  const keys = await generateKeys();
  const csr = await createCsr(keys, `spiffe://cluster.local/ns/${namespace}/sa/${serviceAccount}`);
  return { csr, privateKey: await exportPrivateKey(keys.privateKey) };
}
