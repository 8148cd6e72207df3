/** The systemd units of a joined machine, as text (systemd.unit(5), systemd.service(5), systemd.socket(5), systemd.exec(5)). */
import { CAPTURE_SOCKETS, type CaptureSocket } from '../../shared/join/capture-ports.ts';
import { CAPTURE_UNIT, PROXY_UNIT } from '../host/layout.ts';

/** A unit file's name and text. */
export interface Unit {
  readonly name: string;
  readonly text: string;
}

export interface ProxyService {
  /** The program and its arguments. */
  readonly command: readonly string[];
  /** Has another process take over from the running one, and waits for it. */
  readonly reload: readonly string[];
  /** The user it runs as, whose folder `/var/lib/<user>` is the proxy's; undefined: a user unit. */
  readonly user: string | undefined;
  /** Its listening sockets are made by systemd, and the traffic of the host is redirected to them. */
  readonly capture: boolean;
  /** Whether the host has IPv6. */
  readonly ipv6: boolean;
  /** The command lies in a home folder. */
  readonly inHome: boolean;
  /** How long a stop may take: connections drain. Seconds. */
  readonly stopSeconds: number;
}

const GENERATED = '# Written by "tulle join"; "tulle leave" removes it.';

/** What no proxy does. A runtime that compiles just in time needs memory that is writable and executable. */
const HARDENING = (inHome: boolean, capabilities: string): string[] => [
  'NoNewPrivileges=yes',
  `CapabilityBoundingSet=${capabilities}`,
  `AmbientCapabilities=${capabilities}`,
  'ProtectSystem=strict',
  `ProtectHome=${inHome ? 'read-only' : 'yes'}`,
  'PrivateTmp=yes',
  'PrivateDevices=yes',
  'ProtectClock=yes',
  'ProtectControlGroups=yes',
  'ProtectHostname=yes',
  'ProtectKernelLogs=yes',
  'ProtectKernelModules=yes',
  'ProtectKernelTunables=yes',
  'ProtectProc=invisible',
  'RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK',
  'RestrictNamespaces=yes',
  'RestrictRealtime=yes',
  'RestrictSUIDSGID=yes',
  'LockPersonality=yes',
  'RemoveIPC=yes',
  'SystemCallArchitectures=native',
  'SystemCallFilter=@system-service',
  'SystemCallErrorNumber=EPERM',
];

/** `tulle-proxy.service`. Ready means that config is in force: units behind it start then. */
export function proxyUnit({ command, reload, user, capture, ipv6, inHome, stopSeconds }: ProxyService): Unit {
  const sockets = captureSockets(ipv6).map(({ name }) => name);
  const capabilities = capture ? '' : 'CAP_NET_BIND_SERVICE';
  const before = [...(capture ? [`${CAPTURE_UNIT}.service`, ...sockets] : [])];
  return unit(`${PROXY_UNIT}.service`, {
    Unit: [
      'Description=Tulle proxy: this machine is a workload of the mesh',
      ...(user === undefined ? [] : ['Wants=network-online.target', 'After=network-online.target']),
      ...(before.length === 0 ? [] : [`Requires=${before.join(' ')}`, `After=${before.join(' ')}`]),
      // It comes back however often it fails: without it captured ports stay shut.
      'StartLimitIntervalSec=0',
    ],
    Service: [
      'Type=notify',
      // The message comes from a helper: no runtime sends datagrams to a UNIX socket.
      'NotifyAccess=all',
      ...(user === undefined
        ? []
        : [`User=${user}`, `Group=${user}`, `StateDirectory=${user}`, 'StateDirectoryMode=0700', 'UMask=0077']),
      ...(capture ? [`Sockets=${sockets.join(' ')}`] : []),
      `ExecStart=${commandLine(command)}`,
      // The next process names itself the main one (MAINPID=) before the one before drains.
      `ExecReload=${commandLine(reload)}`,
      'Restart=always',
      'RestartSec=1',
      'KillMode=mixed',
      'TimeoutStartSec=90',
      `TimeoutStopSec=${stopSeconds + 10}`,
      'LimitNOFILE=1048576',
      ...(user === undefined ? [] : HARDENING(inHome, capabilities)),
    ],
    Install: [`WantedBy=${user === undefined ? 'default.target' : 'multi-user.target'}`],
  });
}

/**
 * One unit for each transparent socket, since a unit gives all of its sockets one name. They outlive the proxy: connections
 * that arrive while it restarts wait in their queues, and are served.
 * @param ipv6 whether the host has IPv6
 */
export function captureSockets(ipv6 = true): Unit[] {
  const names = Object.keys(CAPTURE_SOCKETS) as CaptureSocket[];
  const wanted = names.filter((name) => ipv6 || CAPTURE_SOCKETS[name].family === 4);
  return wanted.map((name) => {
    const { family, port } = CAPTURE_SOCKETS[name];
    return unit(`${PROXY_UNIT}-${name}.socket`, {
      Unit: [`Description=Captured connections of Tulle's proxy: ${name}`],
      Socket: [
        // TPROXY finds it there, and no other host reaches it.
        `ListenStream=${family === 4 ? '127.0.0.1' : '[::1]'}:${port}`,
        ...(family === 6 ? ['BindIPv6Only=ipv6-only'] : []),
        `FileDescriptorName=${name}`,
        'Transparent=yes',
        'Backlog=4096',
        `Service=${PROXY_UNIT}.service`,
      ],
      Install: ['WantedBy=sockets.target'],
    });
  });
}

/** `tulle-capture.service`: redirects the traffic, at boot before the proxy and the applications. */
export function captureUnit(on: readonly string[], off: readonly string[]): Unit {
  return unit(`${CAPTURE_UNIT}.service`, {
    Unit: [
      "Description=Redirection of this machine's traffic to Tulle's proxy",
      'Wants=network-pre.target',
      'After=nftables.service iptables.service firewalld.service',
      `Before=${PROXY_UNIT}.service`,
    ],
    Service: [
      'Type=oneshot',
      'RemainAfterExit=yes',
      `ExecStart=${commandLine(on)}`,
      `ExecStop=${commandLine(off)}`,
      'NoNewPrivileges=yes',
      'CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_DAC_OVERRIDE CAP_CHOWN CAP_FOWNER',
      'ProtectHome=read-only',
      'PrivateTmp=yes',
      'RestrictNamespaces=yes',
      'RestrictRealtime=yes',
      'LockPersonality=yes',
    ],
    Install: ['WantedBy=multi-user.target'],
  });
}

/** `tulle-control.service`. */
export function controlUnit(command: readonly string[], user: string, inHome: boolean): Unit {
  return unit('tulle-control.service', {
    Unit: [
      'Description=Control plane of a Tulle mesh',
      'Wants=network-online.target',
      'After=network-online.target',
      'StartLimitIntervalSec=0',
    ],
    Service: [
      'Type=exec',
      ...[`User=${user}`, `Group=${user}`, `StateDirectory=${user}`, 'StateDirectoryMode=0700', 'UMask=0077'],
      `ExecStart=${commandLine(command)}`,
      'Restart=always',
      'RestartSec=1',
      'LimitNOFILE=1048576',
      ...HARDENING(inHome, 'CAP_NET_BIND_SERVICE'),
    ],
    Install: ['WantedBy=multi-user.target'],
  });
}

/**
 * For the unit of an application, which then starts once the proxy is ready. `Wants=`, not `Requires=`: that would end the
 * application with each restart of the proxy.
 */
export function applicationDropIn(): string {
  return text({ Unit: [`Wants=${PROXY_UNIT}.service`, `After=${PROXY_UNIT}.service`] });
}

function unit(name: string, sections: Readonly<Record<string, readonly string[]>>): Unit {
  return { name, text: text(sections) };
}

function text(sections: Readonly<Record<string, readonly string[]>>): string {
  const blocks = Object.entries(sections).map(([section, lines]) => `[${section}]\n${lines.join('\n')}\n`);
  return `${GENERATED}\n${blocks.join('\n')}`;
}

/** Words of a command line as systemd reads them: quoted where needed, `%` and `$` doubled. @throws Error on a line end */
function commandLine(words: readonly string[]): string {
  return words.map(quoted).join(' ');
}

function quoted(word: string): string {
  if (/[\n\r\0]/.test(word)) throw new Error('a word of a command holds a line end');
  const escaped = word.replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /^[A-Za-z0-9_./:=@,+%$[\]-]+$/.test(word) ? escaped : `"${escaped.replace(/["\\]/g, '\\$&')}"`;
}
