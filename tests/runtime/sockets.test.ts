import net from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runtimeCommand } from '../../control/cli/runtimes.mjs';
import { ROOT, RUNTIMES } from '../kit/environment.ts';
import { closedPort } from '../kit/ports.ts';
import { Program } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';

type Report = Record<string, unknown>;

const SOCKETS = [
  ...RUNTIMES.map((runtime) => [runtime, 'plaintext'] as const),
  ...RUNTIMES.map((runtime) => [runtime, 'any'] as const).filter(([runtime]) => runtime === 'bun'),
];

describe.each(SOCKETS)('sockets on %s for %s', (runtime, kind) => {
  let part: Program;
  let port: number;
  let dead: number;
  const reports = () => part.lines.map((line) => JSON.parse(line) as Report);
  const reported = (what: string, is: (report: Report) => boolean) =>
    until(what, () => {
      if (part.process.exitCode !== null) throw new Error(part.lines.join('\n'));
      return reports().find(is);
    });
  /** Says one line, half-closes if asked, and gathers everything until the end. */
  const talk = async (line: string, more?: (socket: net.Socket) => void): Promise<{ got: Buffer; error: string }> => {
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const pieces: Buffer[] = [];
    let error = '';
    socket.on('data', (bytes) => pieces.push(bytes));
    socket.on('error', (failure: NodeJS.ErrnoException) => {
      error = failure.code ?? '';
    });
    socket.on('end', () => socket.end());
    socket.on('connect', () => {
      socket.write(line);
      more?.(socket);
    });
    await new Promise((done) => socket.once('close', done));
    return { got: Buffer.concat(pieces), error };
  };

  beforeAll(async () => {
    dead = await closedPort();
    const command = runtimeCommand(runtime, join(ROOT, 'tests/runtime/peer.ts'));
    part = new Program(`peer on ${runtime}`, [...command, kind, String(dead)]);
    port = (await reported('it listens', ({ listening }) => listening !== undefined))['listening'] as number;
  });
  afterAll(async () => {
    await part.stop();
  });

  it('tells a port in use in one line', async () => {
    const { refused } = await reported('refused', (report) => report['refused'] !== undefined);
    expect(refused).toMatch(/^cannot listen on 127\.0\.0\.1:\d+: the port is in use/);
  });

  it('dials, is refused with a code, and may give up while it dials', async () => {
    const whole = await reported('dialled', ({ got }) => typeof got === 'string' && got.includes('remotePort'));
    expect(whole).toMatchObject({ dialled: port, opened: true, code: '' });
    expect(await reported('given up', (r) => r['dialled'] === port && r['opened'] === false)).toMatchObject({
      got: '',
    });
    expect(await reported('refused', (r) => r['dialled'] === dead)).toMatchObject({
      opened: false,
      code: 'ECONNREFUSED',
    });
  });

  it('knows both addresses', async () => {
    const { got } = await talk('addresses');
    expect(JSON.parse(got.toString())).toMatchObject({
      remoteAddress: '127.0.0.1',
      localAddress: '127.0.0.1',
      localPort: port,
    });
  });

  it('writes text and bytes as they are', async () => {
    const { got } = await talk('both');
    const wanted = Buffer.concat([Buffer.from('h\xe9ad:\xff\xff\xffbig:', 'latin1'), Buffer.alloc(100_000, 0x80)]);
    expect(got.equals(wanted)).toBe(true);
  });

  it('waits for a slow reader with little in hand', async () => {
    const { got } = await talk('big', (socket) => {
      socket.pause();
      void reported('it waits', (report) => report['buffered'] !== undefined).then(() => socket.resume());
    });
    expect(got.length).toBe(32 * 1024 * 1024);
    expect(got.every((byte) => byte === 7)).toBe(true);
    const most = Math.max(...reports().map((report) => Number(report['buffered'] ?? 0)));
    expect(most).toBeLessThan(1024 * 1024);
  });

  it('sends all that was queued, then the FIN', async () => {
    const { got, error } = await talk('queue', (socket) => {
      socket.pause();
      void reported('queued', (report) => report['queued'] !== undefined).then(() => socket.resume());
    });
    expect(error).toBe('');
    const wanted = Buffer.concat(Array.from({ length: 64 }, (_, i) => Buffer.alloc(64 * 1024, i)));
    expect(got.equals(wanted)).toBe(true);
  });

  it('resets what it destroys with an error, and closes once', async () => {
    expect((await talk('destroy')).error).toBe('ECONNRESET');
    await reported('closed', (report) => report['closed'] === 'destroy' && report['error'] === 'on purpose');
    expect((await talk('throw')).error).toBe('ECONNRESET');
    await reported('closed', (report) => report['closed'] === 'throw' && report['error'] === 'an error of a handler');
    expect(reports().filter((report) => report['gone'] !== undefined && report['gone'] !== 1)).toEqual([]);
  });

  it('reads nothing while paused, and is notified of a reset', async () => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write('pause');
    await reported('paused', (report) => report['paused'] === true);
    socket.write(Buffer.alloc(1024 * 1024));
    await talk('addresses');
    expect(reports().filter((report) => report['whilePaused'] !== undefined)).toEqual([]);
    socket.destroy();
  });

  it('half-closes: keeps what it read as it was, and answers after the end', async () => {
    const pieces = Array.from({ length: 50 }, (_, i) => Buffer.alloc(1 + i * 997, i));
    const size = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const { got } = await talk('late', (socket) => {
      socket.once('data', () => {
        for (const piece of pieces) socket.write(piece);
        socket.end();
      });
    });
    expect(got.toString()).toBe(`lateend ${size} 0`);
  });

  it('sends back what it reads, as it was, to a reader who takes it late', async () => {
    const sent = Buffer.alloc(24 * 1024 * 1024);
    for (let at = 0; at < sent.length; at += 4) sent.writeUInt32LE(at, at);
    const { got } = await talk('echo', (socket) => {
      socket.once('data', () => {
        // Until all buffers between are full, so that a write waits.
        socket.pause();
        socket.end(sent);
        void reported('it waits', ({ echoWaits }) => echoWaits === true).then(() => socket.resume());
      });
    });
    expect(got.subarray(2).equals(sent)).toBe(true);
    const report = await reported('it has echoed', ({ lent }) => lent !== undefined);
    // Node's accepted sockets take no `onread`; what this rests on there must be found in the Node that is used.
    if (runtime === 'node') {
      expect(report['lent']).toBeGreaterThan(24);
      expect(report['kept']).toBeGreaterThan(0);
    }
  });
});
