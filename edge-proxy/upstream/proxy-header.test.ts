import { describe, expect, it } from 'vitest';
import { clientHeader, ownHeader } from './proxy-header.ts';

const ends = (remoteAddress: string, localAddress: string) => ({
  remoteAddress,
  remotePort: 56324,
  localAddress,
  localPort: 443,
});
const own = { localAddress: '10.0.0.1', localPort: 4000, remoteAddress: '10.0.0.2', remotePort: 80 };
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const SIGNATURE = '0d0a0d0a000d0a515549540a';

describe('PROXY protocol headers', () => {
  it('V1 names the client and what it connected to', () => {
    expect(text(clientHeader('V1', ends('192.168.0.1', '192.168.0.11'))(own))).toBe(
      'PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n',
    );
    expect(text(clientHeader('V1', ends('2001:db8::1', '2001:db8::2'))(own))).toBe(
      'PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n',
    );
    expect(text(clientHeader('V1', ends('::ffff:10.1.2.3', '10.1.2.4'))(own))).toContain('TCP4 10.1.2.3 10.1.2.4 ');
  });

  it('V2 holds the same in bytes', () => {
    const four = clientHeader('V2', ends('192.168.0.1', '192.168.0.11'))(own);
    expect(hex(four)).toBe(`${SIGNATURE}2111000cc0a80001c0a8000bdc0401bb`);
    const six = clientHeader('V2', ends('2001:db8::1', '::1'))(own);
    const one = '0'.repeat(31);
    expect(hex(six)).toBe(`${SIGNATURE}2121002420010db8${'0'.repeat(23)}1${one}1dc0401bb`);
  });

  it('says that it does not know addresses that are none, or of two families', () => {
    for (const client of [ends('', '10.0.0.1'), ends('10.0.0.1', '2001:db8::1'), ends('', '')]) {
      expect(text(clientHeader('V1', client)(own))).toBe('PROXY UNKNOWN\r\n');
      expect(hex(clientHeader('V2', client)(own))).toBe(`${SIGNATURE}20000000`);
    }
  });

  it('names no client of a connection that is the proxy´s own', () => {
    expect(text(ownHeader('V1')(own))).toBe('PROXY TCP4 10.0.0.1 10.0.0.2 4000 80\r\n');
    expect(hex(ownHeader('V2')(own))).toBe(`${SIGNATURE}20000000`);
  });
});
