import { once } from 'node:events';
import net from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Loan } from '../loans.ts';
import { handleWriter } from './handle-writer.ts';
import { implementationWriter } from './implementation-writer.ts';
import { Outlet, type SocketWriter, type WriterOwner } from './outlet.ts';
import { joinText } from './text.ts';

/** Takes writes, and completes them when it is asked to. */
class SlowWriter implements SocketWriter {
  readonly copies: boolean;
  readonly sent: string[] = [];
  private readonly owner: WriterOwner;
  private waiting: Uint8Array | undefined;

  constructor(owner: WriterOwner, copies: boolean) {
    this.owner = owner;
    this.copies = copies;
  }

  write(bytes: Uint8Array): boolean {
    expect(this.waiting).toBeUndefined();
    this.waiting = this.copies ? new Uint8Array(bytes) : bytes;
    return false;
  }

  get busy(): boolean {
    return this.waiting !== undefined;
  }

  complete(): void {
    const bytes = this.waiting!;
    this.waiting = undefined;
    this.sent.push(Buffer.from(bytes).toString('latin1'));
    this.owner.onWritten();
  }
}

function setup(copies = true) {
  let writer!: SlowWriter;
  const events: string[] = [];
  const outlet = new Outlet((owner) => (writer = new SlowWriter(owner, copies)), {
    onRoom: () => events.push('room'),
    onAllSent: () => events.push('sent'),
  });
  return { outlet, writer, events };
}

describe('an outlet', () => {
  it('joins what is written while a write is under way, up to one TLS record', () => {
    const { outlet, writer } = setup();
    outlet.writeBoth('head ', Buffer.from('body'));
    for (let i = 0; i < 100; i++) outlet.writeLatin1(`${i};`);
    outlet.write(Buffer.alloc(16 * 1024, 'z'));
    while (writer.busy) writer.complete();
    const small = Array.from({ length: 100 }, (_, i) => `${i};`).join('');
    expect(writer.sent).toEqual(['head body', small, 'z'.repeat(16 * 1024)]);
    expect(outlet.buffered).toBe(0);
  });

  it('says that there is room once all has gone out, and that all was sent after the end', () => {
    const { outlet, writer, events } = setup();
    expect(outlet.write(Buffer.alloc(40_000))).toBe(true);
    expect(outlet.write(Buffer.alloc(40_000))).toBe(false);
    writer.complete();
    expect(events).toEqual([]);
    writer.complete();
    expect(events).toEqual(['room']);
    outlet.writeLatin1('last');
    outlet.end();
    expect(events).toEqual(['room']);
    writer.complete();
    expect(events).toEqual(['room', 'sent']);
  });

  it('is empty after its close, whatever completes then', () => {
    const { outlet, writer, events } = setup();
    outlet.write(Buffer.alloc(70_000));
    outlet.writeLatin1('queued');
    outlet.end();
    outlet.close();
    expect(outlet.buffered).toBe(0);
    writer.complete();
    expect([outlet.buffered, events, writer.sent.length]).toEqual([0, [], 1]);
  });

  it.each([true, false])('keeps lent memory as long as it is read (the writer copies: %s)', (copies) => {
    const { outlet, writer } = setup(copies);
    const loan = Loan.take();
    const lend = (text: string) =>
      loan.lend(loan.memory.subarray(0, loan.memory.length), {
        onLent: (bytes: Uint8Array) => {
          const part = bytes.subarray(0, text.length);
          part.set(Buffer.from(text));
          outlet.write(part);
        },
      } as never);
    lend('first');
    expect(loan.kept).toBe(!copies);
    lend('later');
    expect(loan.kept).toBe(true);
    writer.complete();
    expect(loan.kept).toBe(!copies);
    writer.complete();
    expect(loan.kept).toBe(false);
    expect(writer.sent.at(-1)).toBe('later');
    loan.leave();
  });

  it('sends the same bytes whatever completes when, from memory that is used again', () => {
    const piece = fc.record({ size: fc.oneof(fc.nat(50), fc.nat(70_000)), kind: fc.nat(2), complete: fc.boolean() });
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), fc.boolean(), (pieces, copies) => {
        const { outlet, writer } = setup(copies);
        let wanted = '';
        pieces.forEach(({ size, kind, complete }, i) => {
          const text = String.fromCharCode(97 + (i % 26)).repeat(size);
          wanted += text;
          if (kind === 0) outlet.writeLatin1(text);
          else if (kind === 1) outlet.write(Buffer.from(text));
          else outlet.writeBoth(text.slice(0, size >> 1), Buffer.from(text.slice(size >> 1)));
          if (complete && writer.busy) writer.complete();
        });
        while (writer.busy) writer.complete();
        expect(writer.sent.join('')).toBe(wanted);
        expect(outlet.buffered).toBe(0);
      }),
      { numRuns: 300 },
    );
  });
});

describe.each(['handle', 'implementation'] as const)('a socket written at its %s', (way) => {
  it('brings all bytes in order to a reader that is slow', async () => {
    const server = net.createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const socket = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
    const [peer] = (await once(server, 'connection')) as [net.Socket];
    if (socket.connecting) await once(socket, 'connect');
    const make = way === 'handle' ? handleWriter(socket, false) : implementationWriter(socket, false);
    const room: (() => void)[] = [];
    const outlet = new Outlet(make!, { onRoom: () => room.shift()?.(), onAllSent: () => void socket.end() });
    let wanted = 0;
    let held = false;
    for (let i = 0; i < 400; i++) {
      const bytes = Buffer.alloc(1 + ((i * 7919) % 90_000), i);
      for (const byte of [bytes[0]!, bytes.at(-1)!]) wanted = (wanted * 31 + byte) | 0;
      wanted = (wanted * 31 + bytes.length) | 0;
      const text = bytes.toString('latin1', 0, bytes.length >> 1);
      const rest = bytes.subarray(bytes.length >> 1);
      const more = i % 3 === 0 ? outlet.write(bytes) : outlet.writeBoth(text, rest);
      if (more) continue;
      held = true;
      if (peer.listenerCount('data') === 0) peer.on('data', (data) => received.push(data));
      await new Promise<void>((again) => room.push(again));
    }
    outlet.end();
    await once(peer, 'end');
    const all = Buffer.concat(received);
    let seen = 0;
    let at = 0;
    for (let i = 0; i < 400; i++) {
      const length = 1 + ((i * 7919) % 90_000);
      for (const byte of [all[at]!, all[at + length - 1]!]) seen = (seen * 31 + byte) | 0;
      seen = (seen * 31 + length) | 0;
      at += length;
    }
    expect([at, seen, held]).toEqual([all.length, wanted, true]);
    peer.destroy();
    socket.destroy();
    server.close();
  });
  const received: Buffer[] = [];
});

it('text becomes one byte a character, also beyond ASCII', () => {
  const text = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i));
  expect([...joinText(text, Buffer.from([1, 2]))]).toEqual([...Array.from({ length: 256 }, (_, i) => i), 1, 2]);
  expect(joinText('ab', undefined).toString()).toBe('ab');
});

it('a socket without the internals is not written at its handle', () => {
  const socket = new net.Socket({ handle: { readStart: () => 0, close() {} } } as unknown as net.SocketConstructorOpts);
  expect(handleWriter(socket, false)).toBeUndefined();
  expect(handleWriter(new net.Socket(), false)).toBeUndefined();
});
