"""Providers: whom a call goes to. A vendor is a row of data, an official SDK a small adapter."""
