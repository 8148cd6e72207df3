import { describe, expect, it } from 'vitest';
import { parseEtcdUrl } from './etcd-url.ts';

describe('etcd URL', () => {
  it('names members and a prefix', () => {
    expect(parseEtcdUrl('etcd://127.0.0.1:2379')).toEqual({
      hosts: ['127.0.0.1:2379'],
      prefix: '/tulle',
      isLoopback: true,
    });
    expect(parseEtcdUrl('etcd://a.example:2379,[2001:db8::1]:2380/mesh/one')).toEqual({
      hosts: ['a.example:2379', '[2001:db8::1]:2380'],
      prefix: '/mesh/one',
      isLoopback: false,
    });
    expect(parseEtcdUrl('etcd://localhost:1,[::1]:2/').isLoopback).toBe(true);
    expect(parseEtcdUrl('etcd://localhost:1,10.0.0.1:2').isLoopback).toBe(false);
    // A name that only looks like an address of this machine.
    expect(parseEtcdUrl('etcd://127.0.0.1.example:1').isLoopback).toBe(false);
  });

  it.each([
    ['http://a:1', 'must be etcd://'],
    ['etcd://', 'must be etcd://'],
    ['etcd://a', '"a": must be host:port'],
    ['etcd://a:0', 'host:port'],
    ['etcd://a:65536', 'host:port'],
    ['etcd://a:1,', '"": must be host:port'],
    ['etcd://[::x]:1', 'host:port'],
    ['etcd://[::1:1]:70000', 'host:port'],
    ['etcd://user:secret@a:1', 'must not hold a user'],
    ['etcd://a:1/x//y', 'prefix'],
    ['etcd://a:1/x/', 'prefix'],
    ['etcd://a:1/x?y', 'prefix'],
  ])('refuses %s', (text, why) => {
    expect(() => parseEtcdUrl(text)).toThrow(why);
  });
});
