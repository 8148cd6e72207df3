import { expect, it } from 'vitest';
import { isAllowedHost, isPublicAddress, parseAllowedHosts } from './allowed-addresses.ts';

it.each([
  '127.0.0.1',
  '127.9.9.9',
  '0.0.0.0',
  '10.1.2.3',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.1.1',
  '169.254.169.254',
  '100.64.0.1',
  '192.0.0.192',
  '198.18.0.1',
  '224.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::ffff:127.0.0.1',
  '::ffff:a9fe:a9fe',
  '::127.0.0.1',
  'fe80::1',
  'fe80::1%eth0',
  'fc00::1',
  'fd00:ec2::254',
  'ff02::1',
  '64:ff9b::7f00:1',
  '2002:7f00:1::',
  '2001:0:7f00:1::',
  'name',
  '',
])('%s is not public', (address) => expect(isPublicAddress(address)).toBe(false));

it.each(['8.8.8.8', '172.32.0.1', '1.1.1.1', '2606:4700::1111', '2a00:1450:4001::200e', '::ffff:8.8.8.8'])(
  '%s is public',
  (address) => expect(isPublicAddress(address)).toBe(true),
);

it('a host is allowed by its name alone, or at one port', () => {
  const allowed = parseAllowedHosts(['Keycloak.internal', '127.0.0.1:8443', '[::1]']);
  const of = (host: string, port: number) => isAllowedHost(allowed, host, port);
  expect([of('keycloak.INTERNAL.', 1), of('127.0.0.1', 8443), of('[::1]', 5)]).toEqual([true, true, true]);
  expect([of('127.0.0.1', 80), of('sub.keycloak.internal', 443), of('internal', 443)]).toEqual([false, false, false]);
});

it.each(['', 'a b', 'https://a', 'a:0', 'a:65536', '::1', '*.a'])('%s is no host', (entry) =>
  expect(() => parseAllowedHosts([entry])).toThrow('must be a host name or an IP address'),
);
