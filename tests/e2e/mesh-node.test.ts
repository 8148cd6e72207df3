import { meshSuite } from './suite.ts';

meshSuite('node');
