import { meshSuite } from './suite.ts';

meshSuite('bun');
