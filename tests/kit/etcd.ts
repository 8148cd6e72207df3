/** A cluster of real etcd members on loopback (.ci/peers builds etcd). */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EtcdGateway, type EtcdSettings } from '../../control/store/etcd/gateway.ts';
import { rangeOf } from '../../control/store/etcd/keys.ts';
import { peers } from './peers.ts';
import { freePorts } from './ports.ts';
import { outputOf, Program } from './process.ts';
import { until } from './waiting.ts';

export interface EtcdCluster {
  readonly endpoints: readonly string[];
  readonly members: readonly EtcdMember[];
  readonly settings: EtcdSettings;
  /** As a user who may do everything. */
  readonly rootSettings: EtcdSettings;
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
  /** TLS with client certificates, and a user that may use nothing but `/tulle`. */
  secure?: boolean;
  /** Further arguments of a member. */
  args?: (at: number) => readonly string[];
  /** Its data. Default: in `folder`. */
  dataFolder?: (at: number) => string;
}

/** undefined, and said so, where etcd is not there. */
export const etcdPrograms = peers('etcd');

/** Starts members and waits until they have a leader. */
export async function startEtcd(folder: string, options: EtcdClusterOptions = {}): Promise<EtcdCluster> {
  const { size = 3, secure = false, args = () => [], dataFolder = (at) => join(folder, `m${at}`) } = options;
  const ports = await freePorts(2 * size);
  const tls = secure ? testCertificates(folder) : undefined;
  const client = (at: number) => `${tls ? 'https' : 'http'}://127.0.0.1:${ports[at]}`;
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
      ...(tls ? ['--cert-file', tls.certFile, '--key-file', tls.keyFile, '--trusted-ca-file', tls.caFile] : []),
      ...(tls ? ['--client-cert-auth'] : []),
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
  const open: EtcdSettings = { endpoints, ...(tls && { tls: tls.settings }) };
  await until('etcd is healthy', async () => {
    for (const endpoint of endpoints)
      await calling({ ...open, endpoints: [endpoint] }, [['kv/range', { key: 'YQ==' }]]);
    return true;
  });
  if (secure) await calling(open, enableUser);
  return {
    endpoints,
    members,
    settings: secure ? { ...open, user } : open,
    rootSettings: secure ? { ...open, user: root } : open,
    async stop() {
      await Promise.all(members.map(({ program }) => program.stop('SIGKILL')));
    },
  };
}

const root = { name: 'root', password: 'the password of root' };
const user = { name: 'tulle', password: 'a password' };
const enableUser: [string, unknown][] = [
  ['auth/user/add', root],
  ['auth/role/add', { name: 'root' }],
  ['auth/user/grant', { user: 'root', role: 'root' }],
  ['auth/user/add', user],
  ['auth/role/add', { name: 'mesh' }],
  ['auth/role/grant', { name: 'mesh', perm: { permType: 'READWRITE', ...rangeOf('/tulle/') } }],
  ['auth/user/grant', { user: user.name, role: 'mesh' }],
  ['auth/enable', {}],
];

async function calling(settings: EtcdSettings, calls: readonly (readonly [string, unknown])[]): Promise<void> {
  const gateway = new EtcdGateway(settings);
  try {
    for (const [path, body] of calls) await gateway.call(`/v3/${path}`, body);
  } finally {
    gateway.close();
  }
}

/** A CA, a certificate of 127.0.0.1 and one of a client without a common name, made by openssl in `folder`. */
export function testCertificates(folder: string) {
  const path = (name: string) => join(folder, name);
  const key = (name: string) => [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    path(`${name}.key`),
  ];
  const ca = ['-x509', '-subj', '/CN=test-ca', '-days', '2', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'];
  outputOf('openssl', ['req', ...key('ca'), ...ca, '-out', path('ca.crt')]);
  for (const [name, usage] of [
    ['server', 'serverAuth,clientAuth'],
    ['client', 'clientAuth'],
  ] as const) {
    outputOf('openssl', ['req', ...key(name), '-subj', '/O=test', '-out', path(`${name}.csr`)]);
    writeFileSync(path('ext'), `subjectAltName=IP:127.0.0.1\nextendedKeyUsage=${usage}\n`);
    const by = [
      '-CA',
      path('ca.crt'),
      '-CAkey',
      path('ca.key'),
      '-CAcreateserial',
      '-days',
      '2',
      '-extfile',
      path('ext'),
    ];
    outputOf('openssl', ['x509', '-req', '-in', path(`${name}.csr`), ...by, '-out', path(`${name}.crt`)]);
  }
  const text = (name: string) => readFileSync(path(name), 'utf8');
  return {
    caFile: path('ca.crt'),
    certFile: path('server.crt'),
    keyFile: path('server.key'),
    settings: { ca: text('ca.crt'), cert: text('client.crt'), key: text('client.key') },
  };
}
