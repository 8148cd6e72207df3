/** A cluster of real etcd members on loopback (.ci/peers builds etcd). */
import { join } from 'node:path';
import type { EtcdSettings } from '../../control/store/etcd/gateway.ts';
import { peers } from './peers.ts';
import { freePorts } from './ports.ts';
import { Program } from './process.ts';
import { until } from './waiting.ts';

export interface EtcdCluster {
  readonly endpoints: readonly string[];
  readonly members: readonly EtcdMember[];
  readonly settings: EtcdSettings;
  stop(): Promise<void>;
}

export interface EtcdMember {
  readonly program: Program;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** With the data that it had. */
  restart(): void;
}

export interface EtcdClusterOptions {
  /** Default: 3. */
  size?: number;
  /** Further arguments of a member. */
  args?: (at: number) => readonly string[];
  /** Its data. Default: in `folder`. */
  dataFolder?: (at: number) => string;
}

/** undefined, and said so, where etcd is not there. */
export const etcdPrograms = peers('etcd');

/** Starts members and waits until they have a leader. */
export async function startEtcd(folder: string, options: EtcdClusterOptions = {}): Promise<EtcdCluster> {
  const { size = 3, args = () => [], dataFolder = (at) => join(folder, `m${at}`) } = options;
  const ports = await freePorts(2 * size);
  const client = (at: number) => `http://127.0.0.1:${ports[at]}`;
  const peer = (at: number) => `http://127.0.0.1:${ports[size + at]}`;
  const all = Array.from({ length: size }, (_, at) => at);
  const cluster = all.map((at) => `m${at}=${peer(at)}`).join(',');
  const start = (at: number) =>
    new Program(`etcd m${at}`, [
      ...[etcdPrograms!.etcd, '--name', `m${at}`, '--data-dir', dataFolder(at)],
      ...['--initial-cluster', cluster, '--initial-cluster-token', 'test', '--initial-cluster-state', 'new'],
      ...['--listen-client-urls', client(at), '--advertise-client-urls', client(at)],
      ...['--listen-peer-urls', peer(at), '--initial-advertise-peer-urls', peer(at)],
      ...['--logger', 'zap', '--log-level', 'warn', '--log-outputs', 'stderr'],
      ...args(at),
    ]);
  const members = all.map((at) => {
    let program = start(at);
    return {
      get program() {
        return program;
      },
      async kill() {
        await program.stop('SIGKILL');
      },
      restart() {
        program = start(at);
      },
    };
  });
  const endpoints = all.map(client);
  await until('etcd is healthy', async () => {
    const healthy = await Promise.all(endpoints.map(async (url) => (await fetch(`${url}/health`)).ok));
    return healthy.every(Boolean);
  });
  return {
    endpoints,
    members,
    settings: { endpoints },
    async stop() {
      await Promise.all(members.map(({ program }) => program.stop('SIGKILL')));
    },
  };
}
