import { describe, expect, it } from 'vitest';
import { Listener, type ListenerPredicate } from '../../../shared/xds/listener.ts';
import { classify } from '../../listener/sniff.ts';
import { compileInspection } from './compile-inspection.ts';

const filter = (name: 'tls' | 'http', filterDisabled?: ListenerPredicate) => {
  const type = name === 'tls' ? 'tls_inspector.v3.TlsInspector' : 'http_inspector.v3.HttpInspector';
  return {
    name,
    typedConfig: { '@type': `type.googleapis.com/envoy.extensions.filters.listener.${type}` },
    ...(filterDisabled && { filterDisabled }),
  };
};
const listener = (...listenerFilters: object[]) =>
  Listener.parse({ name: 'l', address: { socketAddress: { address: '127.0.0.1', portValue: 1 } }, listenerFilters });
const at = (start: number, end = start + 1): ListenerPredicate => ({ destinationPortRange: { start, end } });
const plansOf = (given: Listener, secure = false) => {
  const inspection = compileInspection(given, secure);
  return [79, 80, 81, 82].map((port) => {
    const plan = inspection?.(port);
    return plan && `${plan.tls ? 'tls' : ''}${plan.http ? 'http' : ''}`;
  });
};

describe('inspection by port', () => {
  it('runs everywhere but where a filter is off', () => {
    expect(plansOf(listener(filter('tls', at(80)), filter('http')))).toEqual(['tlshttp', 'http', 'tlshttp', 'tlshttp']);
    expect(plansOf(listener(filter('tls', at(80)), filter('http', at(80, 82))))).toEqual([
      'tlshttp',
      undefined,
      'tls',
      'tlshttp',
    ]);
    expect(plansOf(listener(filter('tls', { notMatch: { orMatch: { rules: [at(80), at(82)] } } })))).toEqual([
      undefined,
      'tls',
      undefined,
      'tls',
    ]);
    expect(plansOf(listener(filter('tls', { andMatch: { rules: [at(79, 81), at(80, 90)] } })))[1]).toBeUndefined();
    expect(compileInspection(listener(filter('tls', { anyMatch: true })), false)?.(80)).toBeUndefined();
  });

  it('finds TLS where a chain ends it and no filter is configured', () => {
    expect(plansOf(listener(), true)).toEqual(['tls', 'tls', 'tls', 'tls']);
    expect(compileInspection(listener(), false)).toBeUndefined();
  });

  it('refuses a predicate that says nothing, by its field', () => {
    expect(() => compileInspection(listener(filter('tls', { notMatch: {} })), false)).toThrow(
      'listenerFilters[0].filterDisabled.notMatch',
    );
  });

  it('TLS is bytes like others where the inspector is off', () => {
    const hello = Uint8Array.of(0x16, 0x03, 0x01, 0x00, 0x05);
    expect(classify(hello, true, true)).toBeUndefined();
    expect(classify(hello, true, false)).toMatchObject({ transportProtocol: 'raw_buffer', applicationProtocols: [] });
  });
});
