import net from 'node:net';
import tls from 'node:tls';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readClientHello } from './client-hello.ts';

/** The first bytes a real TLS client sends. */
function realHello(options: tls.ConnectionOptions): Promise<Uint8Array> {
  return new Promise((resolve) => {
    const server = net.createServer((socket) => {
      socket.once('data', (bytes) => {
        resolve(bytes);
        socket.destroy();
        server.close();
      });
    });
    server.listen(0, '127.0.0.1', () => {
      const client = tls.connect({ host: '127.0.0.1', port: (server.address() as net.AddressInfo).port, ...options });
      client.on('error', () => {});
    });
  });
}

/** The same handshake bytes cut into records of at most `size`. */
function fragmented(hello: Uint8Array, size: number): Uint8Array {
  const body = hello.subarray(5);
  const out: number[] = [];
  for (let at = 0; at < body.length; at += size) {
    const part = body.subarray(at, at + size);
    out.push(22, 3, 1, part.length >> 8, part.length & 255, ...part);
  }
  return Uint8Array.from(out);
}

describe('readClientHello', () => {
  it('reads server name and protocols', async () => {
    const hello = await realHello({ servername: 'Outbound_.80._.X.example', ALPNProtocols: ['istio', 'h2'] });
    expect(readClientHello(hello)).toEqual({ serverName: 'outbound_.80._.x.example', alpn: ['istio', 'h2'] });
  });

  it('reads a hello without either', async () => {
    expect(readClientHello(await realHello({}))).toEqual({ serverName: '', alpn: [] });
  });

  it('waits for every byte, whole or in small records', async () => {
    const whole = await realHello({ servername: 'a.example', ALPNProtocols: ['h2'] });
    for (const hello of [whole, fragmented(whole, 7)]) {
      for (let length = 0; length < hello.length; length++)
        expect(readClientHello(hello.subarray(0, length))).toBe('incomplete');
      expect(readClientHello(hello)).toEqual({ serverName: 'a.example', alpn: ['h2'] });
    }
  });

  it('refuses what is not a hello', () => {
    const bytes = (...list: number[]) => Uint8Array.from(list);
    expect(readClientHello(new TextEncoder().encode('GET / HTTP/1.1\r\n'))).toBe('invalid');
    expect(readClientHello(bytes(22, 2))).toBe('invalid');
    expect(readClientHello(bytes(22, 3, 1, 0, 0))).toBe('invalid');
    expect(readClientHello(bytes(22, 3, 1, 255, 255))).toBe('invalid');
    expect(readClientHello(bytes(22, 3, 1, 0, 4, 2))).toBe('invalid');
    expect(readClientHello(bytes(22, 3, 1, 0, 5, 1, 0, 255, 255, 3))).toBe('invalid');
  });

  it('never throws, and never reads beyond, whatever bytes are changed', async () => {
    const hello = await realHello({ servername: 'fuzz.example', ALPNProtocols: ['istio', 'http/1.1'] });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(hello.length - 1), fc.nat(255)), { maxLength: 8 }),
        fc.nat(hello.length),
        (changes, length) => {
          const copy = hello.slice(0, length);
          for (const [at, value] of changes) if (at < length) copy[at] = value;
          const result = readClientHello(copy);
          if (typeof result === 'object') expect(result.serverName).toMatch(/^[\x21-\x7e]*$/);
          else expect(['incomplete', 'invalid']).toContain(result);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
