/**
 * Hosts of their own for tests: network namespaces on a bridge, each with loopback and an address that the others reach. They
 * need root; the kernel removes everything with `close`.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { runSync } from './process.ts';

/** Whether this machine allows them; else the reason is printed. */
export const HOSTS: boolean = allowed();

function allowed(): boolean {
  const name = `tulle${process.pid}`;
  const made = process.getuid?.() === 0 && runSync('ip', ['netns', 'add', name]).code === 0;
  if (made) runSync('ip', ['netns', 'del', name]);
  else console.warn('skipped: no network namespaces (they need root and iproute2)');
  return made;
}

export interface TestHost {
  readonly address: string;
  /** Of a network with IPv6. */
  readonly address6: string;
  /** Of the network, as `ip netns` names it. */
  readonly namespace: string;
  /** The command that runs `command` there. */
  run(command: readonly string[]): string[];
}

/** One network; the test process is on it too, at `address`. */
export class TestNetwork {
  private readonly net = `10.${100 + Math.floor(Math.random() * 100)}.${Math.floor(Math.random() * 250)}`;
  private readonly id = `t${process.pid.toString(36)}${Math.floor(Math.random() * 1296).toString(36)}`;
  private readonly namespaces: string[] = [];
  readonly address: string = `${this.net}.1`;
  private readonly net6 = `fd${Math.floor(Math.random() * 256)
    .toString(16)
    .padStart(2, '0')}:${process.pid.toString(16)}:`;
  private readonly ipv6: boolean;

  /** @param options whether hosts have an IPv6 address too, and a default route (to the test process, which forwards nothing) */
  constructor({ ipv6 = false }: { readonly ipv6?: boolean } = {}) {
    this.ipv6 = ipv6;
    const bridge = `${this.id}b`;
    ip('link', 'add', bridge, 'type', 'bridge');
    ip('addr', 'add', `${this.address}/24`, 'dev', bridge);
    if (ipv6) ip('addr', 'add', `${this.net6}:1/64`, 'dev', bridge, 'nodad');
    ip('link', 'set', bridge, 'up');
  }

  /**
   * @param names what names the host knows besides its own, in the place of DNS: host name -> address
   * @param resolvConf default: one whose server answers nothing
   */
  add(names?: Readonly<Record<string, string>>, resolvConf = 'nameserver 127.0.0.1\n'): TestHost {
    const number = this.namespaces.length + 2;
    const namespace = `${this.id}n${number}`;
    const [outer, inner] = [`${this.id}o${number}`, `${this.id}i${number}`];
    const address = `${this.net}.${number}`;
    ip('netns', 'add', namespace);
    this.namespaces.push(namespace);
    if (names) writeNames(namespace, names, resolvConf);
    ip('link', 'add', outer, 'type', 'veth', 'peer', 'name', inner, 'netns', namespace);
    ip('link', 'set', outer, 'master', `${this.id}b`, 'up');
    for (const device of ['lo', inner]) ip('-n', namespace, 'link', 'set', device, 'up');
    ip('-n', namespace, 'addr', 'add', `${address}/24`, 'dev', inner);
    const address6 = `${this.net6}:${number}`;
    if (this.ipv6) {
      ip('-n', namespace, 'addr', 'add', `${address6}/64`, 'dev', inner, 'nodad');
      for (const router of [this.address, `${this.net6}:1`])
        ip('-n', namespace, 'route', 'add', 'default', 'via', router);
    }
    return { address, address6, namespace, run: (command) => ['ip', 'netns', 'exec', namespace, ...command] };
  }

  /** After the programs on the hosts have ended. */
  close(): void {
    for (const namespace of this.namespaces) {
      runSync('ip', ['netns', 'del', namespace]);
      rmSync(`${NAMES}/${namespace}`, { recursive: true, force: true });
    }
    runSync('ip', ['link', 'del', `${this.id}b`]);
  }
}

/** `ip netns exec` mounts these files over those of /etc. */
const NAMES = '/etc/netns';

function writeNames(namespace: string, names: Readonly<Record<string, string>>, resolvConf: string): void {
  mkdirSync(`${NAMES}/${namespace}`, { recursive: true });
  const lines = Object.entries({ localhost: '127.0.0.1', ...names }).map(([name, address]) => `${address} ${name}\n`);
  writeFileSync(`${NAMES}/${namespace}/hosts`, lines.join(''));
  writeFileSync(`${NAMES}/${namespace}/resolv.conf`, resolvConf);
}

function ip(...args: string[]): void {
  const { code, error } = runSync('ip', args);
  if (code !== 0) throw new Error(`ip ${args.join(' ')}: ${error.trim()}`);
}
