/** The system user of the proxy. */
import { type Host, mustRun } from '../host/host.ts';
import { idsOf } from '../host/passwd.ts';

export async function userExists(host: Host, name: string): Promise<boolean> {
  const passwd = (await host.read('/etc/passwd')) ?? '';
  return passwd.split('\n').some((line) => line.startsWith(`${name}:`)) || (await host.run(['id', name])).code === 0;
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
