/** Redis through tcp_proxy: its own clients, pipelining, large values, and an end in the middle. */
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { freePorts } from '../kit/ports.ts';
import { Program, run, works } from '../kit/process.ts';
import { type RunningProxy, startTulle } from '../kit/proxy.ts';
import { until } from '../kit/waiting.ts';
import { peersBootstrap } from './bootstrap.ts';

const HAS_REDIS = works('redis-server') && works('redis-cli');
if (!HAS_REDIS) console.warn('skipped: no Redis (apt-get install redis-server redis-tools)');

describe.skipIf(!HAS_REDIS)('Redis', () => {
  const folder = temporaryFolder();
  let server: Program;
  let redis = 0;

  beforeAll(async () => {
    [redis] = (await freePorts(1)) as [number];
    const options = ['--bind', '127.0.0.1', '--port', String(redis), '--save', '', '--appendonly', 'no'];
    server = new Program('redis', ['redis-server', ...options, '--dir', folder.path, '--daemonize', 'no']);
    await server.line((line) => (line.includes('Ready to accept connections') ? true : undefined));
  });
  afterAll(async () => {
    await server?.stop();
    folder.dispose();
  });

  const ask = async (program: string, port: number, args: string[], input = ''): Promise<string> => {
    const { code, out, error } = await run(program, ['-h', '127.0.0.1', '-p', String(port), ...args], { input });
    if (code !== 0) throw new Error(`${program}: exit code ${code}\n${error}`);
    return out;
  };

  describe.each(RUNTIMES)('through %s', (runtime) => {
    let proxy: RunningProxy;
    const port = () => proxy.ports['tcp']!;
    beforeAll(async () => {
      proxy = await startTulle(runtime, peersBootstrap({ http: redis, websocket: redis, tcp: redis }), folder.path);
    });
    afterAll(async () => {
      await proxy?.stop();
    });

    it('answers commands, and sends what it was asked to keep', async () => {
      expect((await ask('redis-cli', port(), ['PING'])).trim()).toBe('PONG');
      const value = 'v'.repeat(2_000_000);
      expect((await ask('redis-cli', port(), ['-x', 'SET', `large-${runtime}`], value)).trim()).toBe('OK');
      expect((await ask('redis-cli', port(), ['GET', `large-${runtime}`])).trim()).toBe(value);
    });

    it('takes a mass of commands on one connection', async () => {
      const commands = Array.from({ length: 50_000 }, (_, i) => `INCRBY sum-${runtime} ${i}\r\n`).join('');
      const out = await ask('redis-cli', port(), ['--pipe'], commands);
      expect(out).toMatch(/errors: 0, replies: 50000/);
      expect((await ask('redis-cli', port(), ['GET', `sum-${runtime}`])).trim()).toBe(String((49_999 * 50_000) / 2));
    });

    it('serves many clients at once', async () => {
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, i) => ask('redis-cli', port(), ['ECHO', `client ${i}`])),
      );
      expect(answers.map((answer) => answer.trim())).toEqual(answers.map((_, i) => `client ${i}`));
    });

    it('passes what a subscriber waits for', async () => {
      const lines: string[] = [];
      const subscriber = connect(port(), '127.0.0.1', () => subscriber.write(`SUBSCRIBE news-${runtime}\r\n`));
      subscriber.setEncoding('utf8').on('data', (text: unknown) => lines.push(String(text)));
      await until('it has subscribed', () => lines.join('').includes(':1\r\n'));
      await ask('redis-cli', port(), ['PUBLISH', `news-${runtime}`, 'hello']);
      await until('the message is there', () => lines.join('').includes('hello'));
      subscriber.destroy();
    });

    it('tells the server when its client has gone', async () => {
      const clients = async () =>
        (await ask('redis-cli', redis, ['CLIENT', 'LIST']))
          .split('\n')
          .filter((line) => line.includes(`name=gone-${runtime}`));
      const client = connect(port(), '127.0.0.1', () => client.write(`CLIENT SETNAME gone-${runtime}\r\n`));
      await until('it is there', async () => (await clients()).length === 1);
      client.destroy();
      await until('it is gone', async () => (await clients()).length === 0);
    });

    it('ends a client when the server ends', async () => {
      const client = connect(port(), '127.0.0.1', () => client.write('QUIT\r\n'));
      let ended = false;
      client.resume().on('close', () => (ended = true));
      await until('the client is ended', () => ended);
    });
  });
});
