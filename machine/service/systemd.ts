/** systemd of a host: units are written, started, and taken away again. */
import { join } from 'node:path';
import { type Host, HostError, mustRun } from '../host/host.ts';
import type { HostLayout } from '../host/layout.ts';
import type { Unit } from './units.ts';

export class Systemd {
  readonly #host: Host;
  readonly #folder: string;
  readonly #systemctl: readonly string[];
  readonly #journal: readonly string[];
  /** journald names a unit's own lines by it (systemd.journal-fields(7)). */
  readonly #journalField: string;

  constructor(host: Host, { system, units }: Pick<HostLayout, 'system' | 'units'>) {
    this.#host = host;
    this.#folder = units;
    const scope = system ? [] : ['--user'];
    this.#systemctl = ['systemctl', ...scope, '--no-ask-password'];
    this.#journalField = system ? '_SYSTEMD_UNIT' : '_SYSTEMD_USER_UNIT';
    this.#journal = ['journalctl', ...scope, '--no-pager', '-q', '-o', 'cat', '-n', '1'];
  }

  /** Whether it runs this host, or this user's services (sd_booted(3)). */
  async isThere(runtimeFolder: string | undefined): Promise<boolean> {
    const folder = this.#systemctl.includes('--user') ? runtimeFolder : '/run';
    return folder !== undefined && (await this.#host.exists(join(folder, 'systemd/private')));
  }

  async write(units: readonly Unit[]): Promise<void> {
    await this.#host.makeFolder(this.#folder, 0o755);
    for (const { name, text } of units) await this.#host.write(join(this.#folder, name), text, 0o644);
    await this.#call(['daemon-reload'], 'is systemd running?');
  }

  /** Starts now and at each boot. @throws HostError with the last line of its journal */
  async start(names: readonly string[]): Promise<void> {
    await this.#call(['enable', ...names], 'remove a unit of the same name');
    const { code, error } = await this.#host.run([...this.#systemctl, 'start', ...names]);
    if (code === 0) return;
    const service = await this.#failing(names);
    const last = (await this.#lastLine(service)) || error.trim().split('\n')[0];
    throw new HostError(`${service} does not start: ${last}; "journalctl -u ${service}" shows more`);
  }

  /** The first one that is not active: a service that systemd starts again is not `failed`. */
  async #failing(names: readonly string[]): Promise<string> {
    for (const name of names) if ((await this.state(name)).active !== 'active') return name;
    return names.at(-1)!;
  }

  /** Of its processes, not of systemd about it. */
  async #lastLine(name: string): Promise<string> {
    return (await this.#host.run([...this.#journal, `${this.#journalField}=${name}`])).out.trim();
  }

  async state(name: string): Promise<{ readonly active: string; readonly enabled: string }> {
    const properties = ['show', '-p', 'ActiveState', '-p', 'UnitFileState', name];
    const { out } = await this.#host.run([...this.#systemctl, ...properties]);
    const value = (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(out)?.[1] ?? '';
    return { active: value('ActiveState') || 'unknown', enabled: value('UnitFileState') || 'unknown' };
  }

  /** Whether there is a unit of this name. */
  async knows(name: string): Promise<boolean> {
    return (await this.#host.run([...this.#systemctl, 'cat', name])).code === 0;
  }

  /** Stops and removes units, those that are not there as well. */
  async remove(names: readonly string[]): Promise<void> {
    await this.#host.run([...this.#systemctl, 'disable', '--now', ...names]);
    for (const name of names) await this.#host.remove(join(this.#folder, name));
    await this.#host.run([...this.#systemctl, 'daemon-reload']);
    await this.#host.run([...this.#systemctl, 'reset-failed', ...names]);
  }

  async writeDropIn(name: string, text: string): Promise<void> {
    const folder = this.#dropInFolder(name);
    await this.#host.makeFolder(folder, 0o755);
    await this.#host.write(join(folder, DROP_IN), text, 0o644);
    await this.#call(['daemon-reload'], 'is systemd running?');
  }

  async removeDropIn(name: string): Promise<void> {
    const folder = this.#dropInFolder(name);
    await this.#host.remove(join(folder, DROP_IN));
    await this.#host.removeEmptyFolder(folder);
    await this.#host.run([...this.#systemctl, 'daemon-reload']);
  }

  #dropInFolder(name: string): string {
    return join(this.#folder, `${name}.d`);
  }

  #call(words: readonly string[], remedy: string): Promise<string> {
    return mustRun(this.#host, [...this.#systemctl, ...words], remedy);
  }
}

const DROP_IN = 'tulle.conf';
