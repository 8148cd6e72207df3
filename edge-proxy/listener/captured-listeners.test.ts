import { describe, expect, it } from 'vitest';
import { CapturedListeners } from './captured-listeners.ts';

function listenersAt(...places: readonly (readonly [string, number])[]) {
  const listeners = new CapturedListeners<string>();
  for (const [address, port] of places) listeners.add({ address, port }, `${address} ${port}`);
  return listeners;
}

describe('captured listeners', () => {
  it('are found by the exact address, then by the wildcard address of the family', () => {
    const all = listenersAt(['0.0.0.0', 80], ['10.0.0.1', 80], ['::', 80], ['2001:db8:0::1', 80], ['10.0.0.1', 81]);
    expect(all.find('10.0.0.1', 80)).toBe('10.0.0.1 80');
    expect(all.find('10.0.0.2', 80)).toBe('0.0.0.0 80');
    expect(all.find('2001:db8::1', 80)).toBe('2001:db8:0::1 80');
    expect(all.find('2001:db8::2', 80)).toBe(':: 80');
    expect(all.find('10.0.0.1', 81)).toBe('10.0.0.1 81');
    expect(all.find('10.0.0.2', 81)).toBeUndefined();
    expect(all.find('10.0.0.1', 82)).toBeUndefined();
  });

  it('serve both families where there is one wildcard address', () => {
    expect(listenersAt(['0.0.0.0', 80]).find('2001:db8::1', 80)).toBe('0.0.0.0 80');
    expect(listenersAt(['::', 80]).find('10.0.0.1', 80)).toBe(':: 80');
  });

  it('are not found once they are removed, and leave the address to another', () => {
    const listeners = new CapturedListeners<number>();
    for (const address of ['0.0.0.0', '::', '10.0.0.1', '::1']) {
      const place = { address, port: 80 };
      const remove = listeners.add(place, 1);
      expect(() => listeners.add(place, 2)).toThrow(`another listener has ${address} and port 80`);
      remove();
      expect(listeners.find(address, 80)).toBeUndefined();
      listeners.add(place, 3)();
    }
  });

  it('need an IP address and a port', () => {
    const listeners = new CapturedListeners<number>();
    expect(() => listeners.add({ address: 'host', port: 80 }, 1)).toThrow('no IP address');
    expect(() => listeners.add({ address: '10.0.0.1', port: 0 }, 1)).toThrow('needs a port');
  });
});
