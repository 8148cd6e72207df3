/** A PostgreSQL of the test's own: a fresh cluster in a folder under /tmp, TLS on offer, ended with the test. */
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../kit/ports.ts';
import { outputOf, Program, works } from '../kit/process.ts';
import { leaf, rootAuthority } from '../mtls/certificates.ts';

const DEBIAN = '/usr/lib/postgresql';
/** The uid of an unprivileged user: PostgreSQL refuses to run as root. */
const UNPRIVILEGED = 65534;
const ROOT = process.getuid?.() === 0;
const unprivileged = ROOT
  ? ['setpriv', '--reuid', String(UNPRIVILEGED), '--regid', String(UNPRIVILEGED), '--clear-groups', '--']
  : [];

/** The folder of initdb, postgres and psql; undefined with a printed reason. */
export const POSTGRES: string | undefined = find();

function find(): string | undefined {
  const debian = existsSync(DEBIAN) ? readdirSync(DEBIAN).map((version) => join(DEBIAN, version, 'bin')) : [];
  const folders = [...debian, ...(process.env['PATH'] ?? '').split(':').filter((folder) => folder !== '')];
  const found = folders.find((folder) =>
    ['initdb', 'postgres', 'psql'].every((name) => existsSync(join(folder, name))),
  );
  if (!found) console.warn('skipped: no PostgreSQL (apt-get install postgresql)');
  else if (ROOT && !works('setpriv')) {
    console.warn('skipped: PostgreSQL does not run as root, and there is no setpriv (apt-get install util-linux)');
    return undefined;
  }
  return found;
}

export class PostgresServer {
  readonly port: number;
  private readonly folder: string;
  private readonly server: Program;

  private constructor(port: number, folder: string, server: Program) {
    this.port = port;
    this.folder = folder;
    this.server = server;
  }

  static async start(): Promise<PostgresServer> {
    // Where an unprivileged user may go: the folders of a test run are its own user's.
    const folder = mkdtempSync('/tmp/tulle-postgres-');
    const own = (path: string) => ROOT && chownSync(path, UNPRIVILEGED, UNPRIVILEGED);
    own(folder);
    const data = join(folder, 'data');
    const as = (program: string) => ['env', '-C', folder, ...unprivileged, join(POSTGRES!, program)];
    const [command, ...args] = [...as('initdb'), '--no-sync', '-A', 'trust', '-U', 'tulle', '-E', 'UTF8', '-D', data];
    outputOf(command!, args);
    const { cert, key } = await leaf(await rootAuthority('postgres'), { uri: 'spiffe://test/postgres' });
    for (const [name, text] of [
      ['cert.pem', cert],
      ['key.pem', key],
    ] as const) {
      writeFileSync(join(data, name), text, { mode: 0o600 });
      own(join(data, name));
    }
    const [port] = (await freePorts(1)) as [number];
    const settings = {
      listen_addresses: '127.0.0.1',
      port,
      unix_socket_directories: '',
      fsync: 'off',
      ssl: 'on',
      ssl_cert_file: 'cert.pem',
      ssl_key_file: 'key.pem',
    };
    const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const server = new Program('postgres', [...as('postgres'), '-D', data, ...options], { stopSignal: 'SIGINT' });
    await server.line((line) => (line.includes('ready to accept connections') ? true : undefined));
    return new PostgresServer(port, folder, server);
  }

  async stop(): Promise<void> {
    await this.server.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
