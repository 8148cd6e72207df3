/** Users of /etc/passwd, which is all that an image without programs has. */

export interface UserIds {
  readonly uid: number;
  readonly gid: number;
}

/** @param passwd the file's text @returns undefined where it does not name the user */
export function idsOf(passwd: string, user: string): UserIds | undefined {
  const line = passwd.split('\n').find((each) => each.startsWith(`${user}:`));
  const [, , uid = '', gid = ''] = line?.split(':') ?? [];
  return /^\d+$/.test(uid) && /^\d+$/.test(gid) ? { uid: Number(uid), gid: Number(gid) } : undefined;
}
