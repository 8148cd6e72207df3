/** PostgreSQL through tcp_proxy: psql as people use it, in plaintext and with TLS from end to end, bulk both ways, cancelled queries. */
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { Program, run } from '../kit/process.ts';
import { type RunningProxy, startTulle } from '../kit/proxy.ts';
import { until } from '../kit/waiting.ts';
import { peersBootstrap } from './bootstrap.ts';
import { POSTGRES, PostgresServer } from './postgres-server.ts';

const ROWS = 80_000;
const PATIENT = { PGCONNECT_TIMEOUT: '60' };
type Mode = 'disable' | 'prefer' | 'require';

describe.skipIf(!POSTGRES)('PostgreSQL', () => {
  const folder = temporaryFolder();
  let server: PostgresServer;

  beforeAll(async () => {
    server = await PostgresServer.start();
  });
  afterAll(async () => {
    await server?.stop();
    folder.dispose();
  });

  describe.each(RUNTIMES)('through %s', (runtime) => {
    let proxy: RunningProxy;
    beforeAll(async () => {
      const { port } = server;
      proxy = await startTulle(runtime, peersBootstrap({ http: port, websocket: port, tcp: port }), folder.path);
    });
    afterAll(async () => {
      await proxy?.stop();
    });

    const psqlWith = (sql: string, mode: Mode): [string, ...string[]] => {
      const options = ['-X', '-A', '-t', '-q', '-v', 'ON_ERROR_STOP=1', '-c', sql];
      const target = `host=127.0.0.1 port=${proxy.ports['tcp']} user=tulle dbname=postgres sslmode=${mode}`;
      return [join(POSTGRES!, 'psql'), ...options, `${target} application_name=${runtime}`];
    };
    /** What psql writes. @throws with its complaint */
    const psql = async (sql: string, mode: Mode = 'prefer', input: Buffer | '' = ''): Promise<Buffer> => {
      const [program, ...args] = psqlWith(sql, mode);
      const { code, out, error } = await run(program, args, { input, encoding: 'latin1', env: PATIENT });
      if (code !== 0) throw new Error(error);
      return Buffer.from(out, 'latin1');
    };
    const text = async (...of: Parameters<typeof psql>) => String(await psql(...of)).trim();

    it.each(['disable', 'prefer', 'require'] as const)('answers queries, sslmode %s', async (mode) => {
      const sql = 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()';
      expect(await text(sql, mode)).toBe(mode === 'disable' ? 'f' : 't');
      expect(await text("SELECT inet_server_port(), 'é'", mode)).toBe(`${server.port}|é`);
      await expect(psql('SELECT nothing', mode)).rejects.toThrow('column "nothing" does not exist');
    });

    it.each(['disable', 'require'] as const)('copies tables out and in, sslmode %s', async (mode) => {
      const table = `bulk_${runtime}_${mode}`;
      const rows = `SELECT i, md5(i::text), repeat('x', 60) FROM generate_series(1, ${ROWS}) AS i`;
      const out = await psql(`COPY (${rows}) TO STDOUT`, mode);
      expect(out.length).toBeGreaterThan(ROWS * 98);
      await psql(`CREATE TABLE ${table} (i int, digest text, filler text)`, mode);
      await psql(`COPY ${table} FROM STDIN`, mode, out);
      expect(await text(`SELECT count(*), count(DISTINCT digest) FROM ${table}`, mode)).toBe(`${ROWS}|${ROWS}`);
      const again = await psql(`COPY (SELECT * FROM ${table} ORDER BY i) TO STDOUT`, mode);
      const sum = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
      expect(sum(again)).toBe(sum(out));
      await psql(`DROP TABLE ${table}`, mode);
    });

    it('keeps transactions of many clients apart', async () => {
      await psql(`CREATE TABLE counts_${runtime} (n int); INSERT INTO counts_${runtime} VALUES (0)`);
      const add = `BEGIN; UPDATE counts_${runtime} SET n = n + 1; COMMIT`;
      await Promise.all(Array.from({ length: 12 }, () => psql(add)));
      expect(await text(`SELECT n FROM counts_${runtime}`)).toBe('12');
    });

    it('passes the cancelling of a query, which comes on a connection of its own', async () => {
      const child = new Program('psql', psqlWith('SELECT pg_sleep(600)', 'disable'), { env: PATIENT });
      const sleeping = `SELECT count(*) FROM pg_stat_activity WHERE application_name = '${runtime}' AND query = 'SELECT pg_sleep(600)' AND state = 'active'`;
      await until('it sleeps', async () => (await text(sleeping)) === '1');
      child.process.kill('SIGINT');
      await child.line((line) => line.includes('canceling statement due to user request') || undefined);
      await child.exited;
      await until('the server has ended it', async () => (await text(sleeping)) === '0');
    });

    it('tells the server when its client has gone', async () => {
      const backends = `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gone-${runtime}'`;
      // A startup message of protocol 3.0, and no more.
      const fields = `user\0tulle\0database\0postgres\0application_name\0gone-${runtime}\0\0`;
      const message = Buffer.alloc(8 + fields.length);
      message.writeInt32BE(message.length, 0);
      message.writeInt32BE(0x30000, 4);
      message.write(fields, 8, 'latin1');
      const client = connect(proxy.ports['tcp']!, '127.0.0.1', () => client.write(message));
      client.resume().on('error', () => {});
      await until('it is there', async () => (await text(backends)) === '1');
      client.destroy();
      await until('it is gone', async () => (await text(backends)) === '0');
    });
  });
});
