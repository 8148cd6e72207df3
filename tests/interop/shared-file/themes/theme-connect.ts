/** CONNECT: terminated here, passed on, refused, by routes that match nothing else. */
import { listener, manager, prefix, say, to } from '../../harness/bootstrap-parts.ts';
import type { Case } from '../cases.ts';
import { on } from '../cases.ts';
import type { Theme } from './themes.ts';

const connecting = [
  {
    name: 'passed',
    domains: ['raw.test:443', 'passed.test:*'],
    routes: [{ match: { connect_matcher: {} }, ...to('echo', { upgrade_configs: [{ upgrade_type: 'CONNECT' }] }) }],
  },
  {
    name: 'refused',
    domains: ['refused.test:*'],
    routes: [
      { match: { connect_matcher: {} }, ...say('no', 403) },
      { ...prefix('/'), ...say('not CONNECT') },
    ],
  },
  {
    name: 'dead',
    domains: ['dead.test:*'],
    routes: [
      {
        match: { connect_matcher: {} },
        ...to('dead', { upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }] }),
      },
    ],
  },
  {
    name: 'by-header',
    domains: ['header.test:*'],
    routes: [
      { match: { connect_matcher: {}, headers: [{ name: 'x-h', present_match: true }] }, ...say('with header', 405) },
      { match: { connect_matcher: {} }, ...say('without', 406) },
    ],
  },
];
const connect = (id: string, host: string, more = '', tail = ''): Case => ({
  id: `connect-${id}`,
  listener: 'connecting',
  bytes: `CONNECT ${host} HTTP/1.1\r\nHost: ${host}\r\nX-Case: connect-${id}\r\n${more}\r\n${tail}`,
  methods: ['CONNECT'],
  unlogged: tail !== '',
});

export const connects: Theme = {
  listeners: [listener('connecting', manager([], [], { upgrade_configs: [{ upgrade_type: 'CONNECT' }] }, connecting))],
  cases: [
    connect('passed', 'passed.test:443', '', 'hello bye'),
    connect('passed-raw', 'raw.test:443', '', 'hello bye'),
    connect('refused', 'refused.test:443'),
    connect('dead', 'dead.test:443'),
    connect('header', 'header.test:443', 'X-H: 1\r\n'),
    connect('no-header', 'header.test:443'),
    connect('unserved', 'unserved.test:443'),
    ...on('connecting', 'refused.test:443', [['connect-not', '/x']]),
    ...on('connecting', 'passed.test:443', [['connect-not-routed', '/x']]),
  ],
};
