import { describe, expect, it } from 'vitest';
import { localAnswer } from './local-answer.ts';
import { NameTable } from './name-table.ts';
import { TYPE } from './protocol.ts';
import { queryOf } from './testing/query.ts';

const table = new NameTable({
  namespace: 'shop',
  domainSuffix: 'cluster.local',
  searchDomains: () => ['corp.example'],
});
const http = { number: 80, name: 'http', protocol: 'HTTP' };
table.apply(
  [
    { name: 'reviews.shop.svc.cluster.local', service: true, addresses: ['10.0.0.1', 'fd00::1'], ports: [http] },
    { name: 'ratings.other.svc.cluster.local', service: true, addresses: ['10.0.0.2'], ports: [http] },
    {
      name: 'db.shop.svc.cluster.local',
      service: true,
      addresses: ['10.1.0.1', '10.1.0.2'],
      ports: [{ number: 5432, name: 'sql', protocol: 'TCP' }],
      instances: [
        { hostname: 'db-0', addresses: ['10.1.0.1'] },
        { hostname: 'db-1', addresses: ['10.1.0.2'] },
      ],
    },
    {
      name: 'api.example.com',
      addresses: ['240.240.0.1', '2001:2::1'],
      ports: [{ number: 443, name: 'tls', protocol: 'TLS' }],
    },
    { name: '*.wild.example', addresses: ['240.240.0.2'] },
    { name: '*.deep.wild.example', addresses: ['240.240.0.3'] },
  ],
  [],
);

const text = (type: number, data: Uint8Array, target?: string) =>
  type === TYPE.A
    ? data.join('.')
    : type === TYPE.AAAA
      ? Buffer.from(data).toString('hex')
      : `${data.join(',')} ${target}`.trim();

/** `undefined`: forwarded. */
function ask(name: string, type: keyof typeof TYPE | number = 'A', from = table) {
  const answer = localAnswer(from, queryOf(name, { type }).question, () => 0.999);
  return (
    answer && [
      answer.rcode,
      ...answer.answers.map((each) => `${each.name} ${each.type} ${text(each.type, each.data, each.target)}`),
    ]
  );
}

describe('names of the mesh', () => {
  it.each(['reviews', 'reviews.shop', 'reviews.shop.svc', 'reviews.shop.svc.cluster.local', 'REVIEWS.shop'])(
    '%s is found',
    (name) => expect(ask(name)).toEqual([0, `${name.toLowerCase()} 1 10.0.0.1`]),
  );

  it('of another namespace need it', () => {
    expect(ask('ratings')).toBeUndefined();
    expect(ask('ratings.other')).toEqual([0, 'ratings.other 1 10.0.0.2']);
  });

  it('of hosts that are no services have no short forms', () => {
    expect(ask('api.example.com')).toEqual([0, 'api.example.com 1 240.240.0.1']);
    const own = new NameTable({ namespace: 'shop', domainSuffix: 'example.com' });
    own.apply([{ name: 'api.example.com', addresses: ['10.0.0.9'] }], []);
    expect(ask('api', 'A', own)).toBeUndefined();
  });

  it('have no data of a family or type that they lack', () => {
    expect(ask('reviews', 'AAAA')).toEqual([0, 'reviews 28 fd000000000000000000000000000001']);
    expect(ask('ratings.other', 'AAAA')).toEqual([0]);
    expect(ask('reviews', 'MX')).toEqual([0]);
    expect(ask('reviews', 16)).toEqual([0]);
    expect(ask('api.example.com', 'HTTPS')).toEqual([0]);
  });

  it('of hosts outside of the mesh have other types in DNS', () => {
    expect(ask('api.example.com', 'MX')).toBeUndefined();
    expect(ask('api.example.com', 'ANY')).toHaveLength(3);
  });

  it('are found behind a search domain, as an alias', () => {
    for (const domain of ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'corp.example'])
      expect(ask(`api.example.com.${domain}`)).toEqual([
        0,
        `api.example.com.${domain} 5 api.example.com`,
        'api.example.com 1 240.240.0.1',
      ]);
    expect(ask('x.wild.example.corp.example')).toEqual([
      0,
      'x.wild.example.corp.example 5 x.wild.example',
      'x.wild.example 1 240.240.0.2',
    ]);
  });

  it('match wildcards, the longest suffix first, and not the suffix itself', () => {
    expect(ask('a.wild.example')).toEqual([0, 'a.wild.example 1 240.240.0.2']);
    expect(ask('a.b.wild.example')).toEqual([0, 'a.b.wild.example 1 240.240.0.2']);
    expect(ask('a.deep.wild.example')).toEqual([0, 'a.deep.wild.example 1 240.240.0.3']);
    expect(ask('wild.example')).toBeUndefined();
  });

  it('that there are not are asked elsewhere', () => {
    expect(['nope', 'nope.shop.svc.cluster.local', 'www.example.org', ''].map((name) => ask(name))).toEqual(
      Array(4).fill(undefined),
    );
  });

  it('of headless services are all endpoints, and each by its host name', () => {
    expect(ask('db')).toEqual([0, 'db 1 10.1.0.1', 'db 1 10.1.0.2']);
    expect(ask('db-1.db')).toEqual([0, 'db-1.db 1 10.1.0.2']);
    expect(ask('db-1.db.shop.svc.cluster.local')).toEqual([0, 'db-1.db.shop.svc.cluster.local 1 10.1.0.2']);
  });

  it('come in another order', () => {
    const first = new Set<string>();
    for (const random of [0, 0.999]) {
      const answer = localAnswer(table, queryOf('db').question, () => random);
      first.add(answer!.answers[0]!.data.join('.'));
    }
    expect(first.size).toBe(2);
  });
});

describe('records of services', () => {
  it('have the port, and the addresses besides', () => {
    const question = queryOf('_http._tcp.reviews.shop', { type: 'SRV' }).question;
    const answer = localAnswer(table, question, () => 0);
    expect(answer!.answers).toMatchObject([
      {
        name: '_http._tcp.reviews.shop',
        data: Uint8Array.of(0, 0, 0, 1, 0, 80),
        target: 'reviews.shop.svc.cluster.local',
      },
    ]);
    expect(answer!.additionals!.map(({ type }) => type)).toEqual([TYPE.A, TYPE.AAAA]);
  });

  it('are one an instance where instances have names', () => {
    expect(ask('_sql._tcp.db', 'SRV')).toEqual([
      0,
      '_sql._tcp.db 33 0,0,0,1,21,56 db-0.db.shop.svc.cluster.local',
      '_sql._tcp.db 33 0,0,0,1,21,56 db-1.db.shop.svc.cluster.local',
    ]);
  });

  it('of a port or transport that a service has not do not exist; those of other hosts are asked elsewhere', () => {
    expect(ask('_grpc._tcp.reviews', 'SRV')).toEqual([3]);
    expect(ask('_http._udp.reviews', 'SRV')).toEqual([3]);
    expect(ask('_sip._tcp.api.example.com', 'SRV')).toBeUndefined();
  });
});

describe('addresses', () => {
  it('have names', () => {
    expect(ask('1.0.240.240.in-addr.arpa', 'PTR')).toEqual([0, '1.0.240.240.in-addr.arpa 12 api.example.com']);
    const six = `1${'.0'.repeat(23)}.2.0.0.0.1.0.0.2.ip6.arpa`;
    expect(ask(six, 'PTR')).toEqual([0, `${six} 12 api.example.com`]);
    expect(ask('2.0.1.10.in-addr.arpa', 'PTR')).toEqual([0, '2.0.1.10.in-addr.arpa 12 db-1.db.shop.svc.cluster.local']);
  });

  it('of the automatic ranges without a host have none; of others another server knows', () => {
    expect(ask('9.9.240.240.in-addr.arpa', 'PTR')).toEqual([3]);
    expect(ask('9.9.9.9.in-addr.arpa', 'PTR')).toBeUndefined();
    expect(ask('240.240.in-addr.arpa', 'PTR')).toBeUndefined();
  });
});

describe('changes', () => {
  it('replace and remove names, instances and addresses', () => {
    const own = new NameTable({ namespace: 'shop', domainSuffix: 'cluster.local' });
    const host = 'db.shop.svc.cluster.local';
    const instances = [{ hostname: 'db-0', addresses: ['10.0.0.1'] }];
    own.apply([{ name: host, service: true, addresses: ['10.0.0.1'], instances }], []);
    expect(own.size).toBe(2);
    own.apply([{ name: host, service: true, addresses: ['10.0.0.2'] }], []);
    expect(ask('db-0.db', 'A', own)).toBeUndefined();
    expect(ask('1.0.0.10.in-addr.arpa', 'PTR', own)).toBeUndefined();
    expect(ask('2.0.0.10.in-addr.arpa', 'PTR', own)).toHaveLength(2);
    own.apply([], [host]);
    expect([own.size, ask('2.0.0.10.in-addr.arpa', 'PTR', own)]).toEqual([0, undefined]);
  });

  it('leave out what is no name or address', () => {
    const own = new NameTable({ namespace: 'shop', domainSuffix: 'cluster.local' });
    own.apply(
      [
        { name: 'a..b', addresses: ['10.0.0.1'] },
        { name: 'c.test', addresses: ['10.0.0.0/8', 'x'] },
      ],
      [],
    );
    expect([own.size, ask('c.test', 'A', own)]).toEqual([1, [0]]);
  });
});
