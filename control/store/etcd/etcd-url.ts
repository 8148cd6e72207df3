/** `etcd://host:port[,host:port…][/prefix]`, as `--store` takes it. */
import { isIP } from 'node:net';

export interface EtcdUrl {
  /** Of the members: `host:port`. */
  hosts: string[];
  /** Starts with '/', does not end with it. Default: /tulle. */
  prefix: string;
  /** All members are on this machine. */
  isLoopback: boolean;
}

const HOST = /^(?:\[([0-9a-f:.]+)\]|([A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)):(\d{1,5})$/;
const PREFIX = /^(?:\/[A-Za-z0-9._-]+)+$/;

/** @throws Error that names the rule */
export function parseEtcdUrl(text: string): EtcdUrl {
  const [, authority, path] = /^etcd:\/\/([^/]*)(\/.*)?$/.exec(text) ?? [];
  if (!authority) throw new Error('must be etcd://host:port[,host:port…][/prefix]');
  if (authority.includes('@'))
    throw new Error('must not hold a user or a password, which others could read: use --etcd-user and a password file');
  const hosts = authority.split(',');
  const names = hosts.map((host) => nameOf(host));
  const prefix = path === undefined || path === '/' ? '/tulle' : path;
  if (!PREFIX.test(prefix))
    throw new Error(`prefix "${prefix}": must be one or more segments of letters, digits, '.', '_' and '-'`);
  return { hosts, prefix, isLoopback: names.every(isLoopbackName) };
}

function nameOf(host: string): string {
  const [, ipv6, name, port] = HOST.exec(host) ?? [];
  if (port === undefined || Number(port) < 1 || Number(port) > 65535 || (ipv6 !== undefined && isIP(ipv6) !== 6))
    throw new Error(`"${host}": must be host:port`);
  return ipv6 ?? name!;
}

const isLoopbackName = (name: string): boolean =>
  name === 'localhost' || name === '::1' || (isIP(name) === 4 && name.startsWith('127.'));
