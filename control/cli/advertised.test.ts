import { describe, expect, it } from 'vitest';
import { advertisedOf } from './advertised.ts';

describe('--advertise', () => {
  it.each([
    ['mesh.example', { host: 'mesh.example' }],
    ['Mesh.Example:443', { host: 'mesh.example', port: 443 }],
    ['control', { host: 'control' }],
    ['10.1.0.10', { host: '10.1.0.10' }],
    ['10.1.0.10:15012', { host: '10.1.0.10', port: 15012 }],
    ['2001:db8::1', { host: '2001:db8::1' }],
    ['2001:db8::1:443', { host: '2001:db8::1:443' }],
    ['[2001:db8::1]', { host: '2001:db8::1' }],
    ['[2001:DB8::1]:443', { host: '2001:db8::1', port: 443 }],
  ])('%s', (text, expected) => expect(advertisedOf(text)).toEqual(expected));

  it.each([
    ...['', ':443', 'mesh:', 'mesh:0', 'mesh:65536', 'mesh:x', 'https://mesh', 'mesh/x', 'a b', 'a_b', '-a', 'a..b'],
    ...['0.0.0.0', '::', '[::]:443', '0.0.0.0:443', '10.1.0', '10.1.0.256', '[10.1.0.10]:443', '[mesh]', '[::1'],
    ...['fe80::1%eth0', '[fe80::1%eth0]:443', '*.mesh.example', '1:2:3'],
  ])('%j is refused', (text) =>
    expect(() => advertisedOf(text)).toThrow(`--advertise ${text}: must be HOST or HOST:PORT`),
  );
});
