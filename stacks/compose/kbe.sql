-- The MySQL database of docker-compose.yml: the tables of stacks/cdc-mysql.yaml, and the user that Debezium logs in as.
CREATE USER 'cdc'@'%' IDENTIFIED BY 'cdc';
GRANT SELECT, RELOAD, SHOW DATABASES, LOCK TABLES, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'cdc'@'%';

CREATE TABLE customers (
  id    integer PRIMARY KEY AUTO_INCREMENT,
  name  varchar(100) NOT NULL,
  email varchar(200) NOT NULL UNIQUE
);

CREATE TABLE orders (
  id          integer PRIMARY KEY AUTO_INCREMENT,
  customer_id integer NOT NULL,
  total       decimal(10, 2) NOT NULL,
  placed_at   timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  FOREIGN KEY (customer_id) REFERENCES customers (id)
);

CREATE TABLE auth_user (
  id    integer PRIMARY KEY AUTO_INCREMENT,
  login varchar(100) NOT NULL UNIQUE
);

INSERT INTO customers (name, email) VALUES ('Ann', 'ann@example.com'), ('Bo', 'bo@example.com');
INSERT INTO orders (customer_id, total) VALUES (1, 12.50), (2, 40.00), (1, 7.25);
INSERT INTO auth_user (login) VALUES ('ann');
