/** The system user of the proxy. */
import { type Host, HostError, mustRun } from '../host/host.ts';
import { idsOf } from '../host/passwd.ts';

export async function userExists(host: Host, name: string): Promise<boolean> {
  const passwd = (await host.read('/etc/passwd')) ?? '';
  return passwd.split('\n').some((line) => line.startsWith(`${name}:`)) || (await host.run(['id', name])).code === 0;
}

/** Shells that end a login. */
const NO_LOGIN = /\/(nologin|false)$/;
/** Where /etc/login.defs says nothing else. */
const SYSTEM_UID_MAX = 999;

/**
 * Whether a user that is there already may be used: a person's account would hold the key of the workload, and all that the person
 * runs would pass by the proxy.
 * @throws HostError where it is no system user, or can log in
 */
export async function checkSystemUser(host: Host, name: string): Promise<void> {
  const passwd = ((await host.read('/etc/passwd')) ?? '').split('\n');
  const line =
    passwd.find((one) => one.startsWith(`${name}:`)) ?? (await host.run(['getent', 'passwd', name])).out.trim();
  const [, , uid = '', , , , shell = ''] = line.split(':');
  const last = systemUidMax((await host.read('/etc/login.defs')) ?? '');
  const isSystem = /^\d+$/.test(uid) && Number(uid) > 0 && Number(uid) <= last;
  if (isSystem && NO_LOGIN.test(shell)) return;
  throw new HostError(
    `user ${name} is there already with uid ${uid || 'unknown'} and shell ${shell || '(default)'}, and is no system user without login: remove or rename it, then run this again, which makes one`,
  );
}

/** As useradd: SYS_UID_MAX, else the one before UID_MIN (login.defs(5)). */
function systemUidMax(loginDefs: string): number {
  const of = (name: string) => new RegExp(`^\\s*${name}\\s+(\\d+)`, 'm').exec(loginDefs)?.[1];
  const [last, first] = [of('SYS_UID_MAX'), of('UID_MIN')];
  if (last !== undefined) return Number(last);
  return first === undefined ? SYSTEM_UID_MAX : Number(first) - 1;
}

/** Numeric id of a user. @throws HostError */
export async function userId(host: Host, name: string): Promise<number> {
  const known = idsOf((await host.read('/etc/passwd')) ?? '', name);
  return known?.uid ?? Number(await mustRun(host, ['id', '-u', name], `make the user ${name}`));
}

/** Without a password, a shell or a home. */
export async function makeUser(host: Host, name: string, home: string): Promise<void> {
  const remedy = `make a system user ${name} by hand and join again`;
  const useradd = ['useradd', '--system', '--user-group', '--no-create-home', '--home-dir', home];
  if ((await host.run(['sh', '-c', 'command -v useradd'])).code === 0)
    await mustRun(host, [...useradd, '--shell', '/usr/sbin/nologin', name], remedy);
  else {
    // BusyBox.
    await mustRun(host, ['addgroup', '-S', name], remedy);
    await mustRun(host, ['adduser', '-S', '-D', '-H', '-h', home, '-s', '/sbin/nologin', '-G', name, name], remedy);
  }
}

export async function removeUser(host: Host, name: string): Promise<void> {
  const deleting = (await host.run(['sh', '-c', 'command -v userdel'])).code === 0 ? 'userdel' : 'deluser';
  await mustRun(host, [deleting, name], `remove the user ${name} by hand`);
}
