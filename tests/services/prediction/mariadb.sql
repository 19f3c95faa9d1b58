-- Every type of MariaDB that its connector reads, with and without NOT NULL and default.
SET sql_mode = '';
CREATE TABLE wide (
 id bigint NOT NULL AUTO_INCREMENT, code varchar(10) NOT NULL,
 ti tinyint, ti1 tinyint(1), ti1n tinyint(1) NOT NULL DEFAULT 1, tiu tinyint unsigned, bo bool, bon boolean NOT NULL DEFAULT true, bof boolean DEFAULT false,
 si smallint, sid smallint NOT NULL DEFAULT -4, siu smallint unsigned, mi mediumint, miu mediumint unsigned, i int, i_n int NOT NULL, idf int DEFAULT 3, inn int DEFAULT NULL, idq int DEFAULT '5', ie int DEFAULT (1+2), iu int unsigned, iud int unsigned NOT NULL DEFAULT 7, iz int(5) zerofill, bi bigint, bid bigint DEFAULT -9, biu bigint unsigned, biud bigint unsigned NOT NULL DEFAULT 9, bin_ bigint NOT NULL, integ integer,
 de decimal, de5 decimal(5), de52 decimal(5,2), de52n decimal(5,2) NOT NULL, de52d decimal(5,2) NOT NULL DEFAULT 1.5, de52q decimal(5,2) DEFAULT '-1.25', deu decimal(9,4) unsigned, nu numeric(10,3), fi fixed(6,1), dc dec(7,2), deb decimal(38,10), dez decimal(6,2) DEFAULT 0,
 f float, f10 float(10), f30 float(30), f72 float(7,2), fd float DEFAULT 1.5, fn float NOT NULL, d double, d72 double(7,2), dd double NOT NULL DEFAULT 2.25, dp double precision, re real, du double unsigned,
 b bit, b1 bit(1), b1d bit(1) DEFAULT b'1', b5 bit(5), b5d bit(5) NOT NULL DEFAULT b'10101', b64 bit(64), b9 bit(9) NOT NULL,
 da date, dad date DEFAULT '2020-01-02', dan date NOT NULL, dae date DEFAULT (current_date()),
 tm time, tm3 time(3), tm6 time(6), tmd time NOT NULL DEFAULT '01:02:03', tm3d time(3) DEFAULT '01:02:03.456',
 dt datetime, dt0 datetime(0), dt3 datetime(3), dt6 datetime(6), dt4 datetime(4), dtd datetime DEFAULT '2020-01-02 03:04:05', dt3d datetime(3) NOT NULL DEFAULT '2020-01-02 03:04:05.678', dt6d datetime(6) DEFAULT '2020-01-02 03:04:05.678901', dtn datetime NOT NULL, dtc datetime DEFAULT current_timestamp, dtcn datetime NOT NULL DEFAULT now(), dtcu datetime DEFAULT current_timestamp ON UPDATE current_timestamp,
 ts timestamp NULL, tsn timestamp NOT NULL DEFAULT current_timestamp ON UPDATE current_timestamp, ts3 timestamp(3) NULL, ts6n timestamp(6) NOT NULL DEFAULT current_timestamp(6), tsd timestamp NOT NULL DEFAULT '2020-01-02 03:04:05', tsz timestamp NOT NULL DEFAULT '0000-00-00 00:00:00',
 y year, y4 year(4), yd year DEFAULT 2021, yn year NOT NULL,
 c char, c5 char(5), c5d char(5) DEFAULT 'ab', v varchar(5), vn varchar(5) NOT NULL, vd varchar(5) NOT NULL DEFAULT 'a''b', vbs varchar(9) DEFAULT 'a\\b', vdq varchar(9) DEFAULT "dq", ve varchar(5) DEFAULT '', vx varchar(40) DEFAULT (uuid()), vnum varchar(5) DEFAULT 5, vu varchar(9) DEFAULT 'é', nc nchar(3), nv nvarchar(4), cv character varying(3), vb varchar(5) CHARACTER SET binary, vl varchar(5) CHARACTER SET latin1 COLLATE latin1_bin, cb char(5) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
 bn binary, bn5 binary(5), bn5d binary(5) DEFAULT 'ab', vbin varbinary(5), vbind varbinary(5) NOT NULL DEFAULT 'abc', tb tinyblob, bl blob, bl9 blob(9), mb mediumblob, lb longblob, bln blob NOT NULL, bld blob DEFAULT 'x',
 tt tinytext, te text, te9 text(9), mt mediumtext, lt longtext, ten text NOT NULL, ted text NOT NULL DEFAULT 'hello',
 en enum('a','b'), enn enum('a','b') NOT NULL, end_ enum('x','it''s') NOT NULL DEFAULT 'x', st set('a','b','c'), std set('a','b') NOT NULL DEFAULT 'a,b', enc enum('a,b','c'),
 js json, jsd json NOT NULL DEFAULT '{}', u uuid, ud uuid NOT NULL DEFAULT uuid(),
 ge geometry, pt point, ptn point NOT NULL, ln linestring, po polygon, mp multipoint, ml multilinestring, mpo multipolygon, gc geometrycollection,
 gen int AS (3*4) STORED, gev int AS (3*4) VIRTUAL, genp varchar(9) GENERATED ALWAYS AS (concat('a','b')) PERSISTENT, inv int INVISIBLE, invd int INVISIBLE DEFAULT 3, cmt int COMMENT 'words', chk int CHECK (chk > 0), uq int UNIQUE,
 `Odd name` int, `x-y` varchar(3), `1st` int,
 PRIMARY KEY (code, id), KEY (id)
);
CREATE TABLE nokey (a int);
INSERT INTO nokey VALUES (1);
INSERT INTO wide (code, i_n, bin_, de52n, fn, b9, dan, dtn, yn, vn, bln, ten, enn, ptn)
VALUES ('a', 1, 1, 1, 1, b'1', '2020-01-01', '2020-01-01', 2020, 'v', 'b', 't', 'a', POINT(1, 2));
