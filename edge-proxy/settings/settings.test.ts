import { describe, expect, it } from 'vitest';
import { dnsPortOf, parseSettings } from './settings.ts';

const mesh = ['--control-plane', 'https://127.0.0.1:9443', '--data', '/d'];

describe('parseSettings', () => {
  it('reads flags in both spellings, then environment, then defaults', () => {
    const parsed = parseSettings(
      [
        ...mesh,
        '--namespace=shop',
        '--labels',
        'app=a,version=v1',
        '--app-port',
        'http=8080',
        '--app-port=x=1',
        '--announce',
      ],
      { TULLE_SERVICE_ACCOUNT: 'web', TULLE_NAMESPACE: 'ignored', TULLE_ADMIN_PORT: '0' },
    );
    expect(parsed).toMatchObject({
      kind: 'mesh',
      settings: {
        'control-plane': ['https://127.0.0.1:9443'],
        namespace: 'shop',
        'service-account': 'web',
        labels: { app: 'a', version: 'v1' },
        'app-port': { http: 8080, x: 1 },
        'admin-port': 0,
        announce: true,
        ip: '127.0.0.1',
        type: 'sidecar',
      },
    });
  });

  it('reads several control planes, in order, from repeated flags, a list, and the environment', () => {
    const read = (args: string[], environment = {}) => {
      const parsed = parseSettings(['--data', '/d', ...args], environment);
      return parsed.kind === 'mesh' ? parsed.settings['control-plane'] : parsed.kind === 'invalid' && parsed.violations;
    };
    const flag = '--control-plane';
    const all = ['https://a:1', 'https://10.0.0.1:2', 'https://[::1]:3'];
    expect(read(all.flatMap((url) => [flag, url]))).toEqual(all);
    expect(read([flag, all.join(',')])).toEqual(all);
    expect(read([], { TULLE_CONTROL_PLANE: all.join(', ') })).toEqual(all);
    expect(read([flag, 'https://a:1'], { TULLE_CONTROL_PLANE: 'https://b:1' })).toEqual(['https://a:1']);
    for (const bad of ['https://a:1,', 'https://a:1,http://b:1', ',', 'https://a:1/x'])
      expect(read([flag, bad])).toContain('--control-plane: must be https://HOST:PORT, several joined by commas');
    expect(read([flag, 'https://a:1,https://a:1'])).toEqual(['--control-plane: must not name an address twice']);
  });

  it('reads where DNS is answered, and by whom names outside of the mesh are', () => {
    const read = (...args: string[]) => {
      const parsed = parseSettings([...mesh, ...args], {});
      if (parsed.kind !== 'mesh') return parsed.kind === 'invalid' && parsed.violations;
      return [dnsPortOf(parsed.settings), ...parsed.settings['dns-upstream']];
    };
    expect(read()).toEqual([undefined]);
    expect(read('--interception-mode', 'TPROXY')).toEqual([15053]);
    expect(read('--interception-mode', 'TPROXY', '--dns-port', 'off')).toEqual([undefined]);
    expect(read('--dns-port', '53', '--dns-upstream', '10.0.0.1', '--dns-upstream', '[fd00::1]:5353,fd00::2')).toEqual([
      53,
      { address: '10.0.0.1', port: 53 },
      { address: 'fd00::1', port: 5353 },
      { address: 'fd00::2', port: 53 },
    ]);
    expect(read('--dns-port', 'no')).toEqual(['--dns-port: must be a port number, or off']);
    for (const bad of ['dns.example', '10.0.0.1:0', '[10.0.0.1]:53', '10.0.0.1:70000'])
      expect(read('--dns-upstream', bad)).toEqual([
        `--dns-upstream: "${bad}": must be ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT`,
      ]);
  });

  it('reads how to log, from flags and environment, for every kind of proxy', () => {
    const logOf = (args: string[], environment = {}) => {
      const parsed = parseSettings(args, environment);
      return 'settings' in parsed ? [parsed.settings['log-format'], parsed.settings['log-level']] : parsed;
    };
    expect(logOf(mesh)).toEqual(['text', 'info']);
    expect(logOf(['-c', 'b.json', '--log-format', 'json'], { TULLE_LOG_LEVEL: 'debug' })).toEqual(['json', 'debug']);
    expect(logOf([...mesh, '--log-format=xml', '--log-level=all'])).toEqual({
      kind: 'invalid',
      violations: ['--log-format: must be text or json', '--log-level: must be error, warn, info or debug'],
    });
  });

  it('reads -c on its own', () => {
    expect(parseSettings(['-c', 'b.json'], { TULLE_CONTROL_PLANE: 'https://x:1' })).toMatchObject({
      kind: 'static',
      settings: { config: 'b.json' },
    });
    expect(parseSettings(['--help', '-x'], {})).toEqual({ kind: 'help' });
  });

  it('reports all violations together, by flag, without secrets', () => {
    const args = [
      '--control-plane',
      'http://x',
      '--namespace',
      'NO',
      '--admin-port',
      '70000',
      '--what',
      '--ip',
      'host',
    ];
    const parsed = parseSettings([...args, '--join-token', 'SECRET', '--join-token', 'SECRET', '--labels', 'app'], {});
    if (parsed.kind !== 'invalid') throw new Error('expected violations');
    const text = parsed.violations.join('\n');
    for (const flag of ['control-plane', 'namespace', 'admin-port', 'what', 'ip', 'join-token', 'labels', 'data'])
      expect(text).toContain(`--${flag}: `);
    expect(text).not.toContain('SECRET');
  });

  it('takes what follows -- as a command, whose words are not flags', () => {
    const parsed = parseSettings([...mesh, '--', 'app', '--announce', '--'], {});
    expect(parsed).toMatchObject({ kind: 'mesh', command: ['app', '--announce', '--'], settings: { announce: false } });
    expect(parsed).toMatchObject({ settings: { defaultAdminPort: 0 } });
    expect(parseSettings(mesh, {})).toMatchObject({ settings: { defaultAdminPort: 15000 } });
    expect(parseSettings([...mesh, '--'], {})).toEqual({ kind: 'invalid', violations: ['--: names no command'] });
  });

  it('takes a join token by value or in a file, the flags before both variables', () => {
    const tokens = (args: string[], environment: Record<string, string>) => {
      const parsed = parseSettings([...mesh, ...args], environment);
      return parsed.kind === 'mesh'
        ? [parsed.settings['join-token'], parsed.settings['join-token-file']]
        : parsed.kind === 'invalid' && parsed.violations;
    };
    const both = '--join-token, --join-token-file: only one of them may be given';
    expect(tokens(['--join-token', 'a'], { TULLE_JOIN_TOKEN: 'b', TULLE_JOIN_TOKEN_FILE: '/c' })).toEqual([
      'a',
      undefined,
    ]);
    expect(tokens(['--join-token-file', '/a'], { TULLE_JOIN_TOKEN: 'b' })).toEqual([undefined, '/a']);
    expect(tokens([], { TULLE_JOIN_TOKEN_FILE: '/c' })).toEqual([undefined, '/c']);
    expect(tokens(['--join-token', 'a', '--join-token-file', '/a'], {})).toEqual([both]);
    expect(tokens([], { TULLE_JOIN_TOKEN: 'a', TULLE_JOIN_TOKEN_FILE: '/a' })).toEqual([both]);
  });

  it('refuses capture, mixed modes and missing values', () => {
    const violations = (args: string[]) => {
      const parsed = parseSettings(args, {});
      return parsed.kind === 'invalid' ? parsed.violations : [];
    };
    expect(violations([...mesh, '--interception-mode', 'REDIRECT'])[0]).toContain('must be NONE');
    expect(violations(['-c', 'x', '--namespace', 'a'])[0]).toContain('does not go with --config');
    expect(violations([...mesh, '--ip'])[0]).toContain('needs a value');
    expect(violations([])).toHaveLength(2);
  });
});

describe('--stats-address', () => {
  const read = (...args: string[]) => {
    const parsed = parseSettings([...mesh, ...args], {});
    if (parsed.kind === 'invalid') return parsed.violations;
    return parsed.kind === 'mesh' ? parsed.settings['stats-address'] : parsed;
  };
  it.each([
    [['--stats-address', '127.0.0.1'], { address: '127.0.0.1', port: 15090 }],
    [['--stats-address', '0.0.0.0:9100', '--ip', 'auto'], { address: '0.0.0.0', port: 9100 }],
    [['--stats-address', '[fd00::1]:9100', '--ip', 'fd00::1'], { address: 'fd00::1', port: 9100 }],
    [['--stats-address', '::', '--interception-mode', 'TPROXY'], { address: '::', port: 15090 }],
  ])('%j', (args, expected) => expect(read(...args)).toEqual(expected));

  it.each([
    [['--stats-address', 'host:1'], '--stats-address: must be ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT'],
    [['--stats-address', '127.0.0.1:0'], '--stats-address: must be ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT'],
    [['--stats-address', '10.0.0.1', '--ip', '10.0.0.2'], 'must be 0.0.0.0, ::, or the address of --ip (10.0.0.2)'],
    [['--stats-address', '10.0.0.1', '--ip', 'auto'], 'must be 0.0.0.0, ::, or the address of --ip (auto)'],
    [['--stats-address', '0.0.0.0:9100', '--interception-mode', 'TPROXY'], 'a port from 15000 to 15090'],
  ])('%j: %s', (args, message) => expect(String(read(...args))).toContain(message));
});
