/** WebSockets through the proxy: Node's client and hand-made frames against Bun's server. */
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bunBinary } from '../../control/cli/runtimes.mjs';
import { ROOT, RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { Program } from '../kit/process.ts';
import { type RunningProxy, startTulle } from '../kit/proxy.ts';
import { until } from '../kit/waiting.ts';
import { peersBootstrap } from './bootstrap.ts';
import { CLOSE, CONTINUATION, FrameClient, frame, PING, PONG, TEXT } from './websocket-frames.ts';

const bun = bunBinary();
if (!bun) console.warn('skipped: no Bun for the WebSocket server (npm ci installs it)');

/** Sizes around every border of the framing, and of the proxy's buffers. */
const SIZES = [0, 1, 125, 126, 127, 4095, 4096, 4097, 65_535, 65_536, 65_537, 1_000_000];
const CODES: readonly (readonly [number, string])[] = [
  [1000, ''],
  [1000, 'done'],
  [1011, 'broken'],
  [3000, 'a'],
  [4999, 'last'],
];

interface Opened {
  readonly socket: WebSocket;
  readonly messages: (string | Buffer)[];
  closed: { code: number; reason: string; wasClean: boolean } | undefined;
}

describe.skipIf(!bun)('WebSocket', () => {
  const folder = temporaryFolder();
  let server: Program;
  let port = 0;

  beforeAll(async () => {
    server = new Program('websocket server', [bun!, `${ROOT}/tests/peers/websocket-server.ts`]);
    ({ port } = await server.announcement<{ port: number }>());
  });
  afterAll(async () => {
    await server?.stop();
    folder.dispose();
  });

  describe.each(RUNTIMES)('through %s', (runtime) => {
    let proxy: RunningProxy;
    const open = async (protocols: string[] = []): Promise<Opened> => {
      const socket = new WebSocket(`ws://127.0.0.1:${proxy.ports['gateway']}/ws?x=1`, protocols);
      const opened: Opened = { socket, messages: [], closed: undefined };
      let failed = false;
      socket.binaryType = 'arraybuffer';
      socket.onmessage = ({ data }) =>
        opened.messages.push(typeof data === 'string' ? data : Buffer.from(data as ArrayBuffer));
      socket.onerror = () => (failed = true);
      socket.onclose = ({ code, reason, wasClean }) => (opened.closed = { code, reason, wasClean });
      await until('the socket opens', () => socket.readyState === WebSocket.OPEN || failed);
      expect(failed).toBe(false);
      return opened;
    };
    beforeAll(async () => {
      proxy = await startTulle(runtime, peersBootstrap({ http: port, websocket: port, tcp: port }), folder.path);
    });
    afterAll(async () => {
      await proxy?.stop();
    });

    it('echoes text and binary messages of every size', async () => {
      const { socket, messages } = await open();
      const sent: (string | Buffer)[] = SIZES.flatMap((size) => [randomBytes(size), 'ä'.repeat(size / 2)]);
      for (const message of sent) socket.send(message);
      await until('all messages are back', () => messages.length === sent.length);
      const digest = (message: string | Buffer) =>
        `${typeof message} ${createHash('sha256').update(message).digest('hex')}`;
      expect(messages.map(digest)).toEqual(sent.map(digest));
      socket.close();
    });

    it('passes many small messages in order', async () => {
      const { socket, messages } = await open();
      socket.send('count:20000');
      await until('all are there', () => messages.length === 20_000);
      expect(messages.every((message, i) => message === String(i))).toBe(true);
      socket.close();
    });

    it('agrees on a protocol', async () => {
      const { socket } = await open(['chat.v2', 'chat.v1']);
      expect(socket.protocol).toBe('chat.v2');
      socket.close();
    });

    it.each(CODES)('closes with %i %j from the client', async (code, reason) => {
      const opened = await open();
      opened.socket.close(code === 1011 ? 3011 : code, reason);
      await until('it is closed', () => opened.closed);
      expect(opened.closed).toEqual({ code: code === 1011 ? 3011 : code, reason, wasClean: true });
    });

    it.each(CODES)('closes with %i %j from the server', async (code, reason) => {
      const opened = await open();
      opened.socket.send(`close:${code}:${reason}`);
      await until('it is closed', () => opened.closed);
      expect(opened.closed).toEqual({ code, reason, wasClean: true });
    });

    it('passes fragments with pings between them', async () => {
      const client = await FrameClient.open(proxy.ports['gateway']!, '/ws');
      client.send(frame(TEXT, 'one ', false), frame(PING, 'still there?'), frame(CONTINUATION, 'two ', false));
      client.send(frame(CONTINUATION, ''), frame(PING, ''));
      expect(await client.next()).toMatchObject({ opcode: PONG, payload: Buffer.from('still there?') });
      expect(await client.next()).toMatchObject({ opcode: TEXT, fin: true, payload: Buffer.from('one two ') });
      expect(await client.next()).toMatchObject({ opcode: PONG, payload: Buffer.from('') });
      client.destroy();
    });

    it('passes frames that come byte by byte', async () => {
      const client = await FrameClient.open(proxy.ports['gateway']!, '/ws');
      for (const byte of frame(TEXT, 'slowly')) client.send(Buffer.from([byte]));
      expect(await client.next()).toMatchObject({ opcode: TEXT, payload: Buffer.from('slowly') });
      client.destroy();
    });

    it("brings the server's verdict on a broken frame, then the end", async () => {
      const client = await FrameClient.open(proxy.ports['gateway']!, '/ws');
      // Reserved opcode 3.
      client.send(frame(3, 'what'));
      await until(
        'the server has ended it',
        () => client.ended || client.frames.some(({ opcode }) => opcode === CLOSE),
      );
      client.destroy();
    });

    it('refuses what the server refuses', async () => {
      const answer = await fetch(`http://127.0.0.1:${proxy.ports['gateway']}/ws`);
      expect([answer.status, await answer.text()]).toEqual([426, 'upgrade, please']);
    });
  });
});
