import { describe, expect, it } from 'vitest';
import type { TlsContext } from '../../runtime/runtime.ts';
import type { TlsPurpose } from '../../upstream/cluster.ts';
import { byPurpose, clientProtocols, serverProtocols } from './alpn.ts';

const MESH = ['istio-h2', 'istio-http/1.1', 'istio', 'h2', 'http/1.1'];

describe('protocols that a client offers', () => {
  it.each<[string, string[], TlsPurpose, string[]]>([
    ['of a mesh over HTTP/2', MESH, 'http2', ['istio-h2', 'istio', 'h2']],
    ['of a mesh over HTTP/1.1', MESH, 'http1', ['istio-http/1.1', 'istio', 'http/1.1']],
    ['of a mesh for bytes', MESH, 'raw', ['istio']],
    ['that decide the protocol', ['h2', 'http/1.1'], 'alpn', ['h2', 'http/1.1']],
    ['where none are configured, over HTTP/2', [], 'http2', ['h2']],
    ['where none are configured, to be decided', [], 'alpn', ['h2', 'http/1.1']],
    ['where none are configured, over HTTP/1.1', [], 'http1', []],
    ['where none of the configured can be spoken', ['http/1.1'], 'http2', ['http/1.1']],
    ['for bytes of HTTP', ['h2', 'http/1.1'], 'raw', ['h2', 'http/1.1']],
    ['of another protocol', ['postgresql'], 'raw', ['postgresql']],
  ])('%s', (_, configured, purpose, offered) => expect(clientProtocols(configured, purpose)).toEqual(offered));

  it('each list has one context, made once', () => {
    const made: string[] = [];
    const tls = byPurpose(MESH, (alpn) => {
      made.push(alpn.join());
      const context: TlsContext = { kind: 'client', unready: alpn.join() };
      return () => context;
    });
    expect(made).toEqual([MESH.join()]);
    for (const purpose of ['http2', 'http2', 'alpn'] as const) tls(purpose);
    expect(made).toEqual([MESH.join(), 'istio-h2,istio,h2']);
    expect(tls('http2')).toBe(tls('http2'));
    expect(tls('alpn').unready).toBe(MESH.join());
  });
});

it.each<[TlsPurpose, string[]]>([
  ['http1', ['http/1.1', 'istio']],
  ['http2', ['h2', 'istio']],
  ['alpn', ['h2', 'http/1.1', 'istio']],
  ['raw', ['h2', 'http/1.1', 'istio']],
])('a server of %s agrees to what it serves', (spoken, agreed) =>
  expect(serverProtocols(['h2', 'http/1.1', 'istio'], spoken)).toEqual(agreed),
);
